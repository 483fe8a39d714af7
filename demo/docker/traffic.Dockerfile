# The load generator of the demo's shop. Built from the root of the tree: docker build -f demo/docker/traffic.Dockerfile .
FROM debian:bookworm-slim
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends python3 >/dev/null && rm -rf /var/lib/apt/lists/*
WORKDIR /shop
COPY demo/traffic demo/traffic
USER 65532:65532
CMD ["demo/traffic/run"]
