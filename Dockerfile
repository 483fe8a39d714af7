# The server's image: the binary, the libraries it is linked with, nothing else; no shell. Its health check is its own
# verb. Build: docker build -t tercet .   (the demo around it: compose.yaml)
FROM debian:bookworm-slim AS build
WORKDIR /src
COPY tests/lib/deps tests/lib/deps
RUN tests/lib/deps build
COPY demo/lib/tool demo/lib/tool
RUN demo/lib/tool node
COPY . .
RUN cmake --preset release && cmake --build --preset release --target tercet
# With the same paths as here: the loader finds them as it did, and libcurl the certificates it trusts. /data belongs to the user below.
RUN mkdir -p /image/usr/bin /image/data /image/tmp && \
    strip -o /image/usr/bin/tercet build/release/tercet && \
    cp -L --parents /etc/ssl/certs/ca-certificates.crt /image && \
    ldd build/release/tercet | grep -o '/[^ ]*' | xargs -I{} cp -L --parents {} /image && \
    chown 65532:65532 /image/data && chmod 1777 /image/tmp && \
    chroot /image /usr/bin/tercet version

FROM scratch
COPY --from=build /image /
USER 65532:65532
VOLUME /data
# OTLP/gRPC, OTLP/HTTP, Prometheus, Tempo, Quickwit, the UI
EXPOSE 4317 4318 9090 3200 7280 3000
HEALTHCHECK --interval=5s --timeout=6s --start-period=30s CMD ["/usr/bin/tercet", "health"]
ENTRYPOINT ["/usr/bin/tercet"]
CMD ["serve", "--data", "/data", "--bind", "0.0.0.0"]
