# redisbak in an image: one static binary and nothing else, so that building it
# asks no registry. The context holds the binary: bin/image of `make
# image`, or what a release build lays out.
#
# docs/container.md says how it is run: with the engine's socket and the
# repository mounted, as a user of the socket's group. Nothing else need be
# writable. There is no file of certificates in it: the engine's come with
# DOCKER_CERT_PATH and the server's with --tls-ca, each from a file that is
# mounted; those of the public authorities are in the binary.
FROM scratch
# Where in the context the binary is: a release has one directory a platform.
ARG TARGETPLATFORM
COPY $TARGETPLATFORM/redisbak /redisbak
LABEL org.opencontainers.image.title="redisbak" \
      org.opencontainers.image.description="Back up and restore Redis in Docker volumes" \
      org.opencontainers.image.source="https://github.com/redisbak/redisbak" \
      org.opencontainers.image.licenses="Apache-2.0"
# Nobody, until --user names somebody whom the socket and the repository let in.
USER 65534:65534
ENTRYPOINT ["/redisbak"]
