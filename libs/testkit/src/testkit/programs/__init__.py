"""Real programs beside our own: Kafka, MongoDB's wire, Keycloak, Envoy, Prometheus, as plain local processes.

An address in the environment (`UPLIFT_TEST_*`) is used if set; else the program is started from what the package
registries carry; else `Missing` says in one sentence what this machine lacks.
"""

from testkit.programs.program import Program, ProgramMissing, ProgramSettings, build_cached, free_port, run_tool

__all__ = ["Program", "ProgramMissing", "ProgramSettings", "build_cached", "free_port", "run_tool"]
