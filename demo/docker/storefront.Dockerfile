# storefront of the demo's shop. Built from the root of the tree: docker build -f demo/docker/storefront.Dockerfile .
FROM debian:bookworm-slim AS build
WORKDIR /shop
COPY tests/lib/deps tests/lib/deps
COPY demo/lib/tool demo/lib/tool
RUN demo/lib/tool node
COPY demo/frontend demo/frontend
RUN demo/frontend/build

FROM debian:bookworm-slim
WORKDIR /shop
COPY --from=build /shop/demo/lib/tool demo/lib/tool
COPY --from=build /shop/build/demo/tools build/demo/tools
COPY --from=build /shop/demo/frontend demo/frontend
COPY demo/docker/http /usr/local/bin/http
USER 65532:65532
ENV HOST=0.0.0.0 PORT=3001
EXPOSE 3001
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s CMD ["http", "GET", "/"]
CMD ["demo/frontend/run"]
