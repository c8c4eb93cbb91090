"""Third-party programs as local processes: Kafka, MongoDB, Keycloak, Envoy, Prometheus and others.

If the environment names an address (`UPLIFT_TEST_*`), that program is used. Otherwise the program is built from what the
package registries hold, and started. `ProgramMissing` says what this machine lacks for it.
"""

from testkit.programs.program import Program, ProgramMissing, ProgramSettings, build_cached, free_port, run_tool

__all__ = ["Program", "ProgramMissing", "ProgramSettings", "build_cached", "free_port", "run_tool"]
