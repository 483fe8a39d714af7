# catalogue of the demo's shop. Built from the root of the tree: docker build -f demo/docker/catalogue.Dockerfile .
FROM debian:bookworm-slim AS build
WORKDIR /shop
COPY tests/lib/deps tests/lib/deps
COPY demo/lib/tool demo/lib/tool
RUN demo/lib/tool uv
COPY demo/python demo/python
RUN demo/python/build

FROM debian:bookworm-slim
WORKDIR /shop
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends python3 >/dev/null && rm -rf /var/lib/apt/lists/*
COPY --from=build /shop/demo/python demo/python
COPY --from=build /shop/build/demo/python build/demo/python
COPY demo/docker/http /usr/local/bin/http
USER 65532:65532
ENV HOST=0.0.0.0 PORT=8001
EXPOSE 8001
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s CMD ["http", "GET", "/"]
CMD ["demo/python/run"]
