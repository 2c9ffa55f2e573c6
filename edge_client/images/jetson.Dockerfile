# The Python client on NVIDIA's L4T base image, with a Python of its own: JetPack 4 has none that is new enough.
#
#   JetPack 4:  --build-arg L4T_BASE=nvcr.io/nvidia/l4t-base:r32.7.1     (default)
#   JetPack 5:  --build-arg L4T_BASE=nvcr.io/nvidia/l4t-base:r35.4.1
#   JetPack 6:  --build-arg L4T_BASE=nvcr.io/nvidia/l4t-jetpack:r36.4.0
#
#   docker build -f edge_client/images/jetson.Dockerfile -t pocketfleet-client:jetson .
#
# The context is the root of the repository. The client trains on the CPU: TensorFlow Lite has no delegate that trains on
# a Jetson's GPU. The base is NVIDIA's, so that a container may see the GPU for what is built on top (docs/boards.md).
ARG L4T_BASE=nvcr.io/nvidia/l4t-base:r32.7.1
FROM ghcr.io/astral-sh/uv:0.9.9 AS uv
FROM ${L4T_BASE}

ENV PYTHONPATH=/opt/pocketfleet \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    UV_PYTHON_INSTALL_DIR=/opt/python

COPY --from=uv /uv /usr/local/bin/uv
COPY edge_client/images/requirements.txt /opt/pocketfleet/requirements.txt
# The standalone Python needs glibc 2.17, the runtime's wheels 2.27: Ubuntu 18.04 has 2.27.
RUN uv python install 3.10 \
    && uv venv --python 3.10 /opt/pocketfleet/environment \
    && uv pip install --no-cache --only-binary :all: --python /opt/pocketfleet/environment/bin/python \
        -r /opt/pocketfleet/requirements.txt \
    && useradd --create-home --uid 10001 client \
    && install --directory --owner=client /state /data

COPY device_profiles /opt/pocketfleet/device_profiles
COPY model_export /opt/pocketfleet/model_export
COPY edge_client /opt/pocketfleet/edge_client

# The key, unfinished work and bundles: a client that loses them is another device to the server.
VOLUME ["/state"]
USER 10001
STOPSIGNAL SIGTERM
ENTRYPOINT ["/opt/pocketfleet/environment/bin/python", "-m", "edge_client.cli"]
CMD ["run", "--help"]
