# pyright: reportMissingTypeStubs=false
"""How clients prove who they are to Kafka and whom they believe: TLS and SASL."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from aiokafka.helpers import create_ssl_context

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


@dataclass(frozen=True)
class KafkaSecurity:
    """The security settings of a Kafka client. `ca_file`: PEM; None: the system's certificate authorities. Host names are
    always checked."""

    protocol: SecurityProtocol = "PLAINTEXT"
    mechanism: SaslMechanism = "SCRAM-SHA-512"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None

    def build_connection(self) -> dict[str, Any]:
        """What every client is made with, by the client library's names. Raises ValueError where the protocol needs
        something that is missing, and OSError for a file that cannot be read."""
        connection: dict[str, Any] = {"security_protocol": self.protocol}
        if self.protocol.endswith("SSL"):
            connection["ssl_context"] = create_ssl_context(cafile=self.ca_file)
        if self.protocol.startswith("SASL"):
            if not (self.username and self.password):
                raise ValueError(f"Kafka is spoken to by {self.protocol}, which needs a user name and a password.")
            connection |= {
                "sasl_mechanism": self.mechanism,
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password,
            }
        return connection
