# Not built in CI, only linted. The pipeline with its embedded engine, for any CPU:
#   docker build --file containers/cpu.Dockerfile --tag mlubench:cpu .
#   docker run --rm --volume mlubench:/opt/mlubench/artifacts mlubench:cpu mlubench eval
FROM python:3.11-slim-bookworm

# No telemetry; the first start of Prefect's own server may take long on a small host.
ENV DO_NOT_TRACK=1 \
    PREFECT_SERVER_ANALYTICS_ENABLED=false \
    PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS=120

WORKDIR /opt/mlubench
COPY . .
# Editable, since conf/ stays beside the package.
RUN python -m pip install --no-cache-dir --constraint constraints.txt --editable . \
    && useradd --uid 10001 --create-home mlubench \
    && chown mlubench artifacts

USER 10001
CMD ["mlubench", "--help"]
