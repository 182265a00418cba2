# ragline, its command and its server, on a CPU. What was run of it: docs/deployment.md.
#
#   docker build -t ragline .
#   docker run --rm -v ~/notes:/notes:ro -v ragline:/data ragline index /notes
#   docker run --rm -p 127.0.0.1:8000:8000 -v ragline:/data ragline serve --host 0.0.0.0 --keys /data/keys
FROM python:3.11-slim AS build
# A package index with a CPU build of torch makes the image smaller: --build-arg EXTRA_INDEX=URL
ARG EXTRA_INDEX=
RUN python -m venv /opt/ragline
WORKDIR /src
# Dependencies first: they change more seldom than the code.
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY plugins/serve/pyproject.toml plugins/serve/
RUN mkdir rag retrievers rerankers generators prompts \
 && for package in rag retrievers rerankers generators prompts; do touch $package/__init__.py; done \
 && mkdir plugins/serve/ragline_serve && touch plugins/serve/ragline_serve/__init__.py \
 && /opt/ragline/bin/pip install --no-cache-dir ${EXTRA_INDEX:+--extra-index-url $EXTRA_INDEX} . ./plugins/serve
COPY . .
RUN /opt/ragline/bin/pip install --no-cache-dir --no-deps --force-reinstall . ./plugins/serve

FROM python:3.11-slim
# libgomp1: llama.cpp in its wheel asks the system for it.
RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home --uid 10001 ragline && mkdir /data && chown ragline /data
COPY --from=build /opt/ragline /opt/ragline
ENV PATH=/opt/ragline/bin:$PATH RAGLINE_HOME=/data/models RAGLINE_INDEX=/data/index
USER ragline
WORKDIR /data
VOLUME /data
EXPOSE 8000
ENTRYPOINT ["rag"]
CMD ["--help"]
