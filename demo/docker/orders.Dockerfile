# orders of the demo's shop. Built from the root of the tree: docker build -f demo/docker/orders.Dockerfile .
FROM debian:bookworm-slim AS build
WORKDIR /shop
COPY tests/lib/deps tests/lib/deps
COPY demo/lib/tool demo/lib/tool
RUN demo/lib/tool go
COPY demo/go demo/go
RUN demo/go/build

FROM debian:bookworm-slim
WORKDIR /shop
COPY --from=build /shop/demo/go/run demo/go/run
COPY --from=build /shop/build/demo/go/orders build/demo/go/orders
COPY demo/docker/http /usr/local/bin/http
USER 65532:65532
ENV HOST=0.0.0.0 PORT=8002
EXPOSE 8002
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s CMD ["http", "GET", "/"]
CMD ["demo/go/run"]
