"""Keycloak as a local process. It is downloaded by Maven, built and set up once; each that runs has a folder of its own."""

import shutil
import ssl
import zipfile
from pathlib import Path

import httpx

from testkit.programs.program import Program, ProgramMissing, build_cached, find_tool, free_port, run_tool

# Keycloak speaks plain HTTP here, so that certificates are not needed, and loading them is slow.
_PLAIN = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
VERSION = "26.7.3"
ADMIN = "admin"
_ARTIFACT = f"org.keycloak:keycloak-quarkus-dist:{VERSION}:zip"
_BUILD = ("--db=dev-file",)
_OPENED = ("java.util", "java.util.concurrent", "java.security", "java.lang")
_JVM = (
    "-Xms64m", "-Xmx512m", "-XX:MaxMetaspaceSize=256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
    "-Dfile.encoding=UTF-8", "-Duser.language=en", "-Duser.country=US",
    "-Djava.util.concurrent.ForkJoinPool.common.threadFactory="
    "io.quarkus.bootstrap.forkjoin.QuarkusForkJoinWorkerThreadFactory",
    "-Djava.util.logging.manager=org.jboss.logmanager.LogManager",
    *(f"--add-opens=java.base/{each}=ALL-UNNAMED" for each in _OPENED),
)  # fmt: skip


def ensure_keycloak() -> Path:
    """The folder of a Keycloak that is optimised for its file database and has one with the realm `master` and its admin.
    Raises ProgramMissing."""
    return build_cached("keycloak", VERSION, _build)


def _build(folder: Path) -> None:
    maven = find_tool("mvn", "Keycloak comes by Maven 3 from Maven Central; install Debian's `maven`")
    find_tool("java", "Keycloak needs Java 17 or newer; install Debian's `openjdk-17-jre-headless`")
    copied = ["dependency:copy", f"-Dartifact={_ARTIFACT}", f"-DoutputDirectory={folder}"]
    run_tool([maven, "-q", "-B", *copied], cwd=folder)
    archive = folder / f"keycloak-quarkus-dist-{VERSION}.zip"
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(folder)
    archive.unlink()
    unpacked = folder / f"keycloak-{VERSION}"
    for each in unpacked.iterdir():
        each.rename(folder / each.name)
    unpacked.rmdir()
    run_tool(["/bin/sh", "bin/kc.sh", "build", *_BUILD], cwd=folder)
    # Creating a database takes half of the first start, so the database is created here and copied for each Keycloak.
    first = Keycloak(folder, distribution=folder)
    try:
        first.start()
    except RuntimeError as error:
        raise ProgramMissing(str(error)) from error
    finally:
        first.stop()
    for left in ("data/transaction-logs", "data/tmp"):
        shutil.rmtree(folder / left, ignore_errors=True)


class Keycloak(Program):
    """A Keycloak whose data is in `folder` and survives a restart. The admin of its realm `master` is `admin`/`admin`.

    `hostname` is the URL by which browsers reach it, such as a gateway's. The `iss` of its tokens begins with it.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        hostname: str | None = None,
        distribution: Path | None = None,
    ) -> None:
        self.folder = folder.resolve()
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.hostname = hostname or self.url
        self._distribution = distribution or ensure_keycloak()
        java = find_tool("java", "Keycloak needs Java 17 or newer; install Debian's `openjdk-17-jre-headless`")
        options = [
            "--http-enabled=true", "--http-host=127.0.0.1", f"--http-port={self.port}", "--cache=local",
            f"--hostname={self.hostname}", "--proxy-headers=xforwarded",
        ]  # fmt: skip
        command = [
            java, *_JVM, f"-Dkc.home.dir={self.folder}", f"-Djboss.server.config.dir={self.folder / 'conf'}",
            "-cp", self._distribution / "lib" / "quarkus-run.jar", "io.quarkus.bootstrap.runner.QuarkusEntryPoint",
            "--profile=prod", "start", "--optimized", *options,
        ]  # fmt: skip
        bootstrap = {"KC_BOOTSTRAP_ADMIN_USERNAME": ADMIN, "KC_BOOTSTRAP_ADMIN_PASSWORD": ADMIN}
        super().__init__(
            "Keycloak",
            command,
            log=self.folder / "keycloak.log",
            cwd=self.folder,
            env=bootstrap,
            ready=self._serves,
            seconds=120,
        )

    def _serves(self) -> bool:
        try:
            return httpx.get(f"{self.url}/realms/master", timeout=5, verify=_PLAIN).is_success
        except httpx.TransportError:
            return False

    def launch(self) -> None:
        """See `Program.launch`. Prepares the folder at the first start."""
        if self.folder != self._distribution:
            self._prepare_folder()
        super().launch()

    def _prepare_folder(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in ("lib", "providers", "themes"):
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to(self._distribution / name)
        for name in ("conf", "data"):
            if not (self.folder / name).exists():
                shutil.copytree(self._distribution / name, self.folder / name)
