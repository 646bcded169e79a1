# syntax=docker/dockerfile:1
# make dist && docker build -t orchestrator .
# docker run -e GEMINI_API_KEY -e ORCHESTRATOR_PROFILES__DEFAULT__MODEL=gemini-2.5-flash \
#   -v orchestrator:/var/lib/orchestrator orchestrator
#
# deploy/compose.yaml has it with the emulator, a read-only root and the key as a secret.
# A base of your own needs Python 3.11 or newer as `python3`, with its `venv`.
ARG BASE=docker.io/library/python:3.12-slim

FROM ${BASE} AS build
WORKDIR /src
COPY requirements.lock .
RUN python3 -m venv /opt/orchestrator \
 && /opt/orchestrator/bin/python -m pip install --no-cache-dir --disable-pip-version-check \
      --only-binary :all: --no-deps --require-hashes -r requirements.lock
COPY dist/*.whl ./
RUN /opt/orchestrator/bin/python -m pip install --no-cache-dir --disable-pip-version-check \
      --no-index --no-deps ./*.whl \
 && rm -r /opt/orchestrator/bin/pip* /opt/orchestrator/lib/python3*/site-packages/pip*

FROM ${BASE}
ENV PATH=/opt/orchestrator/bin:/usr/local/bin:/usr/bin:/bin \
    STATE_DIRECTORY=/var/lib/orchestrator \
    RUNTIME_DIRECTORY=/run/orchestrator \
    CREDENTIALS_DIRECTORY=/run/secrets \
    PYTHONDONTWRITEBYTECODE=1
COPY --from=build /opt/orchestrator /opt/orchestrator
# The folders belong to the number that the program runs as; no such user needs to be known.
RUN install -d -o 10001 -g 10001 -m 0750 /var/lib/orchestrator /run/orchestrator \
 && install -d -o 10001 -g 10001 -m 2770 /var/lib/orchestrator/inbox
USER 10001:10001
# Everything that must live on: the folders of the user, the daemon's own files, the ledger.
# Beside it only /run/orchestrator and /tmp are written to; both may be tmpfs.
VOLUME /var/lib/orchestrator
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s \
  CMD ["orchestrator", "status", "--json"]
ENTRYPOINT ["orchestrator"]
CMD ["run"]
