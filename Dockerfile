# syntax=docker/dockerfile:1.7
# One image a service: docker build --build-arg SERVICE=ingest . Also `gateway`, which renders Envoy's configuration,
# and `all-in-one`: the `uplift` command, all services' migrations and the simulator.
# The image workflow gives PYTHON with a digest.
ARG PYTHON=python:3.11.14-slim-bookworm

FROM ${PYTHON} AS build
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
ENV TARGET=/opt/uplift PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 UV_LINK_MODE=copy UV_CACHE_DIR=/var/cache/uv
WORKDIR /build

COPY requirements-uv.lock ./
RUN <<EOF
python -m venv uv
uv/bin/pip install --quiet --require-hashes -r requirements-uv.lock
EOF

COPY pyproject.toml requirements.lock ./
COPY libs libs
COPY services services
ARG SERVICE=all-in-one
# The lock holds what all services need. This service's part of it is resolved anew within the lock's versions, and every
# package must have one of the lock's checksums.
RUN --mount=type=cache,target=/var/cache/uv <<EOF
export PATH="${PWD}/uv/bin:${PATH}"
uv venv --quiet --no-python-downloads --python "$(command -v python)" "${TARGET}"
export VIRTUAL_ENV="${TARGET}"
uv pip compile --quiet --no-header --no-annotate --constraint requirements.lock \
  "services/${SERVICE}/pyproject.toml" --output-file needed.txt
sed -n '/==/p' needed.txt > packages.txt
sed -n 's/^-e //p' needed.txt > members.txt
uv pip install --quiet --require-hashes --compile-bytecode --constraint requirements.lock -r packages.txt
uv pip install --quiet --no-deps --offline --compile-bytecode -r members.txt "./services/${SERVICE}"
EOF

FROM ${PYTHON}
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
# The base image has no compiled standard library, and nobody may write one later: every start and every health check
# would compile it again.
RUN <<EOF
pip uninstall --quiet --yes --root-user-action=ignore pip setuptools wheel
stdlib="$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"
rm -rf "${stdlib}/ensurepip"
python -m compileall -q "${stdlib}"
useradd --uid 10001 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin uplift
install --directory --owner 10001 --group 10001 /config
EOF

COPY --from=build /opt/uplift /opt/uplift
ENV PATH=/opt/uplift/bin:${PATH} HOME=/tmp PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1

ARG SERVICE=all-in-one
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="uplift-${SERVICE}" \
  org.opencontainers.image.description="Uplift: running a call centre on facts" \
  org.opencontainers.image.licenses="Apache-2.0" \
  org.opencontainers.image.version="${VERSION}" \
  org.opencontainers.image.revision="${REVISION}" \
  org.opencontainers.image.created="${CREATED}" \
  org.opencontainers.image.source="${SOURCE}"

USER 10001:10001
WORKDIR /tmp
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["python", "-Ic", "from http.client import HTTPConnection as C; c = C('127.0.0.1', 8000, timeout=4); c.request('GET', '/healthz'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["python", "-m"]
CMD ["servicekit", "api", "work"]
