# syntax=docker/dockerfile:1
# Two images from one build, each a static binary and nothing else:
#   docker buildx build --platform linux/amd64,linux/arm64 --target operator .
#   docker buildx build --platform linux/amd64,linux/arm64 --target agent .
# `make image` assembles the same files, users and entry points without an engine.
FROM --platform=$BUILDPLATFORM golang:1.26.8 AS build
ARG TARGETOS=linux TARGETARCH
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ENV CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    go build -trimpath -buildvcs=false -ldflags "-s -w" -o /out/manager . && \
    go build -trimpath -buildvcs=false -ldflags "-s -w" -o /out/drain-agent ./cmd/drain-agent

FROM scratch AS agent
COPY --from=build /out/drain-agent /drain-agent
USER 65532:65532
ENTRYPOINT ["/drain-agent"]

FROM scratch AS operator
COPY --from=build /out/manager /manager
USER 65532:65532
ENTRYPOINT ["/manager"]
