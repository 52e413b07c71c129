# The Python of requirements.lock and of the tests. A digest in place of the tag is yours to add: it changes with every rebuild.
FROM python:3.11.14-slim-bookworm AS build
WORKDIR /src
COPY requirements.lock ./
# Wheels only: nothing is compiled, so there is no compiler to leave behind.
RUN python -m venv --without-pip /opt/debitum && \
    pip --python /opt/debitum/bin/python install --no-cache-dir --require-hashes --no-deps --only-binary :all: -r requirements.lock
COPY pyproject.toml workspace.yaml README.md LICENSE ./
COPY api ./api
COPY client ./client
COPY debitum ./debitum
COPY domain ./domain
COPY notifications ./notifications
COPY pipelines ./pipelines
COPY storage ./storage
COPY telemetry ./telemetry
RUN /opt/debitum/bin/python -m hatchling build --target wheel && \
    pip --python /opt/debitum/bin/python install --no-cache-dir --no-deps dist/*.whl

FROM python:3.11.14-slim-bookworm
# Volumes take owner and mode from the folders that are here when they are first used.
RUN groupadd --gid 10001 debitum && \
    useradd --uid 10001 --gid debitum --no-create-home --home-dir /data --shell /usr/sbin/nologin debitum && \
    install --directory --owner debitum --group debitum --mode 0700 /data /data/dagster /data/dagster/storage /run/debitum
COPY --from=build /opt/debitum /opt/debitum
ENV PATH=/opt/debitum/bin:$PATH \
    HOME=/data \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    DEBITUM_DATA_DIR=/data
USER 10001:10001
WORKDIR /
VOLUME ["/data"]
EXPOSE 8000 3000
HEALTHCHECK --interval=30s --timeout=15s --start-period=180s --retries=3 CMD ["debitum", "probe"]
ENTRYPOINT ["debitum"]
CMD ["up"]
