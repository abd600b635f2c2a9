# The server and the nightly training in one image: wheels only, no compiler, an unprivileged user.
ARG PYTHON_VERSION=3.13

FROM python:${PYTHON_VERSION}-slim AS build
WORKDIR /src
RUN python -m venv /opt/recsys
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY recsys recsys
COPY training training
COPY serving serving
COPY cli cli
RUN /opt/recsys/bin/pip install --no-cache-dir --only-binary :all: --constraint constraints.txt setuptools \
    && /opt/recsys/bin/pip install --no-cache-dir --only-binary :all: --constraint constraints.txt --no-build-isolation '.[postgres]' \
    && /opt/recsys/bin/pip uninstall --yes setuptools

FROM python:${PYTHON_VERSION}-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin recsys \
    && install --directory --owner recsys --group recsys --mode 0700 /models /data /var/cache/recsys
COPY --from=build /opt/recsys /opt/recsys
COPY --chmod=0755 deploy/nightly.sh /usr/local/bin/recsys-nightly
ENV PATH=/opt/recsys/bin:$PATH PYTHONUNBUFFERED=1 NUMBA_CACHE_DIR=/var/cache/recsys
USER recsys
RUN python -m recsys.kernels.precompile
VOLUME ["/models", "/data"]
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/health/ready', timeout=4)"]
CMD ["recsys", "serve", "--models", "/models", "--host", "0.0.0.0", "--port", "8000", "--keys", "/run/secrets/recsys_keys"]
