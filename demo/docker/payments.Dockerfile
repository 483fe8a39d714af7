# payments of the demo's shop. Built from the root of the tree: docker build -f demo/docker/payments.Dockerfile .
FROM debian:bookworm-slim AS build
WORKDIR /shop
COPY tests/lib/deps tests/lib/deps
COPY demo/lib/tool demo/lib/tool
RUN demo/lib/tool cargo
COPY demo/rust demo/rust
RUN demo/rust/build

FROM debian:bookworm-slim
WORKDIR /shop
COPY --from=build /shop/demo/rust/run demo/rust/run
COPY --from=build /shop/build/demo/rust/release/payments build/demo/rust/release/payments
COPY demo/docker/http /usr/local/bin/http
USER 65532:65532
ENV HOST=0.0.0.0 PORT=8003
EXPOSE 8003
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s CMD ["http", "GET", "/"]
CMD ["demo/rust/run"]
