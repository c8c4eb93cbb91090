"""Apache Kafka, one node that is broker and controller, from its Maven jars.

The log cleaner runs every tenth of a second and sessions may be short. With Kafka's defaults, tests of compaction and of
killed group members would wait for minutes.
"""

import hashlib
import shutil
import tempfile
from pathlib import Path

from testkit.programs.certificates import write_certificate
from testkit.programs.program import Program, build_cached, find_tool, free_port, is_listening, run_tool

VERSION = "4.1.1"
CURE = "install a JDK and Maven (Debian: openjdk-17-jre-headless, maven)"
HEAP = "256m"
CLUSTER_ID = "dXBsaWZ0LXRlc3Qta2Fma2"
PROJECT = Path(__file__).with_name("kafka.xml")

PROPERTIES = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port}{more},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}{more}
controller.listener.names=CONTROLLER
log.dirs={data}
auto.create.topics.enable=false
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
group.min.session.timeout.ms=1000
log.cleaner.backoff.ms=100
log.cleaner.dedupe.buffer.size=4194304
log.cleaner.threads=1
num.network.threads=2
num.io.threads=4
background.threads=2
"""

USERNAME, PASSWORD = "uplift", "only-for-tests"
LOGIN_MODULES = {
    "scram-sha-256": "scram.ScramLoginModule required",
    "scram-sha-512": "scram.ScramLoginModule required",
    "plain": f'plain.PlainLoginModule required user_{USERNAME}="{PASSWORD}"',
}
PROTOCOLS = ("SSL", "SASL_SSL", "SASL_PLAINTEXT")
SECURED = (
    "".join(
        f"listener.name.{listener}.{mechanism}.sasl.jaas.config=org.apache.kafka.common.security.{module};\n"
        for listener in ("sasl_ssl", "sasl_plaintext")
        for mechanism, module in LOGIN_MODULES.items()
    )
    + """
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL,SASL_PLAINTEXT:SASL_PLAINTEXT
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
ssl.keystore.type=PEM
ssl.keystore.location={keystore}
"""
)


class Kafka(Program):
    """`with Kafka(folder) as kafka:` starts it; `kafka.address` is its address. Publishing to a topic that does not exist
    fails. Replication factors are 1."""

    def __init__(self, folder: Path, *, port: int | None = None, secured: bool = False) -> None:
        """Data is in `folder` and survives a restart. `secured`: with the listeners that the attribute `secured` lists."""
        self.port = port or free_port()
        self.secured = {each: f"127.0.0.1:{free_port()}" for each in PROTOCOLS} if secured else {}
        """Addresses by security protocol. Those with SASL accept `USERNAME` and `PASSWORD`."""
        self.ca_file = folder / "ca.pem"
        """The certificate authority of the secured listeners."""
        self._folder = folder
        self._controller = free_port()
        java = find_tool("java", CURE)
        jars = jars_folder()
        self._java = [java, f"-Xmx{HEAP}", f"-Xms{HEAP}", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        self._java += ["-XX:-UsePerfData", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", f"{jars}/*"]
        self._config = folder / "server.properties"
        super().__init__(
            "Kafka",
            [*self._java, "kafka.Kafka", str(self._config)],
            log=folder / "kafka.log",
            ready=lambda: is_listening(self.port),
            cwd=folder,
            seconds=90,
        )

    @property
    def address(self) -> str:
        """Bootstrap server, `host:port`."""
        return f"127.0.0.1:{self.port}"

    def launch(self) -> None:
        """See `Program.launch`. Formats the data folder at the first start."""
        data = self._folder / "data"
        if not data.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            more = "".join(f",{protocol}://{address}" for protocol, address in self.secured.items())
            text = PROPERTIES.format(port=self.port, controller=self._controller, data=data, more=more)
            format_it = ["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(self._config)]
            if self.secured:
                keystore = self._folder / "keystore.pem"
                write_certificate(self.ca_file, keystore)
                text += SECURED.format(keystore=keystore)
                for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512"):
                    format_it += ["--add-scram", f"{mechanism}=[name={USERNAME},password={PASSWORD}]"]
            self._config.write_text(text)
            run_tool([*self._java, *format_it], cwd=self._folder, seconds=90)
        super().launch()


def jars_folder() -> Path:
    """The folder with Kafka's jars, downloaded by Maven at the first call. Raises ProgramMissing."""

    def fetch(folder: Path) -> None:
        maven = find_tool("mvn", CURE)
        with tempfile.TemporaryDirectory(prefix="uplift-kafka-") as project:
            shutil.copy(PROJECT, Path(project) / "pom.xml")
            target = f"-DoutputDirectory={folder}"
            run_tool([maven, "-B", "-q", "dependency:copy-dependencies", target], cwd=Path(project), seconds=600)

    return build_cached("kafka", f"{VERSION}-{hashlib.sha256(PROJECT.read_bytes()).hexdigest()[:8]}", fetch)
