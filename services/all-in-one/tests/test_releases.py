"""`uplift tenant create --isolation release`: a customer's folder, after the pattern of another's."""

import shutil
from pathlib import Path

import pytest
import yaml
from all_in_one.main import app
from all_in_one.releases import FILES, CannotWriteRelease, Release, list_next_steps, render_release, write_release
from typer.testing import CliRunner

ENVIRONMENTS = Path(__file__).parents[3] / "k8s" / "environments"


@pytest.fixture
def customers(tmp_path: Path) -> Path:
    """The customers of `prod`, as they are in this repository, without `acme`."""
    folder = tmp_path / "k8s" / "environments" / "prod" / "customers"
    shutil.copytree(ENVIRONMENTS / "prod" / "customers", folder)
    shutil.rmtree(folder / "acme")
    return folder


def release(
    customers: Path, customer: str = "acme", url: str = "https://acme.uplift.example.org", like: str = "shared"
) -> Release:
    return Release(customer, url, customers, like)


def test_it_writes_what_a_person_wrote_for_acme(customers: Path) -> None:
    written = write_release(release(customers))
    assert sorted(str(each.relative_to(customers / "acme")) for each in written) == sorted(FILES)
    for name in FILES:
        by_hand = ENVIRONMENTS / "prod" / "customers" / "acme" / name
        assert yaml.safe_load((customers / "acme" / name).read_text()) == yaml.safe_load(by_hand.read_text()), name
    assert {each.name for each in (customers / "acme").rglob("*") if each.is_file()} == {
        Path(name).name for name in FILES
    }


def test_a_release_like_a_customers_own_is_apart_from_it(customers: Path) -> None:
    write_release(release(customers))
    made = render_release(release(customers, "acme-east", "https://east.example.org", like="acme"))
    text = "\n".join(made.values())
    assert "uplift-acme-east" in text
    assert "prod/acme-east/data" in text
    left = ("uplift-acme\n", "prod/acme}", "prod/acme/", "acme.uplift.example.org")
    assert [each for each in left if each in text] == []


def test_a_repeated_call_completes_an_interrupted_one_and_changes_nothing(customers: Path) -> None:
    write_release(release(customers))
    (customers / "acme" / "release.yaml").unlink()
    assert write_release(release(customers)) == [customers / "acme" / "release.yaml"]
    assert write_release(release(customers)) == []
    values = customers / "acme" / "values.yaml"
    values.write_text(values.read_text() + "autoscaling: none\n")
    with pytest.raises(CannotWriteRelease, match=r"differs in .*values\.yaml"):
        write_release(release(customers))
    assert values.read_text().endswith("autoscaling: none\n")


@pytest.mark.parametrize(
    "customer, url, like, said",
    [
        ("Acme", "https://a.example.org", "shared", "namespace's name"),
        ("acme-", "https://a.example.org", "shared", "namespace's name"),
        ("a" * 43, "https://a.example.org", "shared", "namespace's name"),
        ("../acme", "https://a.example.org", "shared", "namespace's name"),
        ("cluster", "https://a.example.org", "shared", "Argo CD"),
        ("acme-data", "https://a.example.org", "shared", "Argo CD"),
        ("acme", "a.example.org", "shared", "no address"),
        ("acme", "https://a.example.org/acme", "shared", "no address"),
        ("acme", "https://uplift.example.org", "shared", "is the address of `shared`"),
        ("acme", "https://a.example.org", "nobody", "no customer to write another after"),
    ],
)
def test_what_does_not_fit_is_refused_before_a_file_is_written(
    customers: Path, customer: str, url: str, like: str, said: str
) -> None:
    with pytest.raises(CannotWriteRelease, match=said):
        write_release(release(customers, customer, url, like))
    assert [each.name for each in customers.iterdir()] == ["shared"]


def test_a_pattern_without_a_fact_is_refused(customers: Path) -> None:
    values = customers / "shared" / "values.yaml"
    values.write_text(values.read_text().replace("prefix: uplift/prod/shared", "prefix: uplift/elsewhere"))
    with pytest.raises(CannotWriteRelease, match=r"does not say secrets\.prefix\."):
        write_release(release(customers))


def test_the_next_steps_name_files_that_are_there(customers: Path) -> None:
    write_release(release(customers))
    steps = "\n".join(list_next_steps(release(customers)))
    assert f"--kustomize {customers}/acme/data" in steps
    assert "--version 0.1.0 --namespace uplift-acme" in steps
    assert "uplift/prod/acme/services" in steps
    assert (ENVIRONMENTS.parents[1] / "charts/uplift/values/scaling-prod.yaml").exists()


def test_the_command_writes_prints_and_refuses(customers: Path) -> None:
    words = ["tenant", "create", "acme", "--isolation", "release", "--values-dir", str(customers)]
    told = CliRunner().invoke(app, words)
    assert (told.exit_code, told.stderr) == (1, "--isolation release needs --values-dir and --public-url.\n")
    address = ["--public-url", "https://acme.uplift.example.org"]
    told = CliRunner().invoke(app, words + address)
    assert (told.exit_code, told.stderr) == (0, "")
    assert told.stdout.splitlines()[len(FILES)] == "Passwords, in the secret store:"
    told = CliRunner().invoke(app, words + address)
    assert (told.exit_code, "acme is as it shall be." in told.stdout) == (0, True)
    told = CliRunner().invoke(app, ["tenant", "create", "acme", "--name", "Acme"])
    assert (told.exit_code, told.stderr) == (1, "A tenant needs --name and --blueprint.\n")
    told = CliRunner().invoke(app, [*words, "--public-url", "https://uplift.example.org"])
    assert (told.exit_code, told.stderr.count("\n")) == (2, 1)
