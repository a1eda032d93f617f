# Not built in CI, only linted, and not tried on a card. The pipeline in the vendor's image:
#   docker build --file containers/mlu.Dockerfile --build-arg MAGICMIND_IMAGE=magicmind:TAG \
#       --tag mlubench:mlu .
# The pipeline's wheels need glibc 2.28: Ubuntu 20.04 has it, Ubuntu 18.04 has not. docs/mlu.md says
# what to do with an image of that.
ARG MAGICMIND_IMAGE

FROM python:3.11-slim-bookworm AS tools
RUN python -m pip install --no-cache-dir uv==0.13.8

# hadolint ignore=DL3006
FROM ${MAGICMIND_IMAGE}
# The SDK's interpreter, which runs the workers.
ARG SDK_PYTHON=/usr/bin/python3.7

# What cannot work is told before anything is fetched.
RUN "$SDK_PYTHON" -c 'import importlib.util, os, sys; \
    importlib.util.find_spec("magicmind") or sys.exit("no package magicmind: name SDK_PYTHON"); \
    libc = os.confstr("CS_GNU_LIBC_VERSION"); \
    tuple(map(int, libc.split()[1].split("."))) < (2, 28) \
    and sys.exit(libc + " is older than 2.28: see docs/mlu.md")'

ENV DO_NOT_TRACK=1 \
    PREFECT_SERVER_ANALYTICS_ENABLED=false \
    PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS=120 \
    UV_PYTHON_INSTALL_DIR=/opt/python \
    UV_NO_CACHE=1 \
    PATH=/opt/mlubench/.venv/bin:$PATH

COPY --from=tools /usr/local/bin/uv /usr/local/bin/uv
WORKDIR /opt/mlubench
COPY . .
# A current Python beside the SDK's, which stays as it is.
RUN uv venv --python 3.11 .venv \
    && uv pip install --constraint constraints.txt --editable . \
    && echo "magicmind: {python: $SDK_PYTHON}" > conf/engines.yaml \
    && useradd --uid 10001 --create-home mlubench \
    && chown mlubench artifacts

USER 10001
CMD ["mlubench", "devices"]
