# The Python client for 64-bit boards without a GPU: Raspberry Pi 3, 4, 5 and their like.
#
#   docker buildx build --platform linux/arm64 -f edge_client/images/raspberry_pi.Dockerfile -t pocketfleet-client:pi --load .
#
# The context is the root of the repository.
FROM python:3.11-slim-bookworm

ENV PYTHONPATH=/opt/pocketfleet \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

COPY edge_client/images/requirements.txt /opt/pocketfleet/requirements.txt
RUN pip install --no-cache-dir --only-binary=:all: -r /opt/pocketfleet/requirements.txt \
    && useradd --create-home --uid 10001 client \
    && install --directory --owner=client /state /data

COPY device_profiles /opt/pocketfleet/device_profiles
COPY model_export /opt/pocketfleet/model_export
COPY edge_client /opt/pocketfleet/edge_client

# The key, unfinished work and bundles: a client that loses them is another device to the server.
VOLUME ["/state"]
USER 10001
STOPSIGNAL SIGTERM
ENTRYPOINT ["python", "-m", "edge_client.cli"]
CMD ["run", "--help"]
