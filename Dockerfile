# redisbak in an image: one static binary and nothing else, so that building it
# asks no registry. The context holds the binary: bin/ of `make image`, or what
# a release build lays out.
#
# It talks to the Docker Engine of its host through the engine's socket, and
# writes its repository on a mount:
#
#   docker run --rm \
#     -v /var/run/docker.sock:/var/run/docker.sock \
#     -v /srv/redisbak:/srv/redisbak -e REDISBAK_REPO=/srv/redisbak \
#     --user "$(id -u):$(getent group docker | cut -d: -f3)" \
#     redisbak snapshot redis-server
#
# The user is the one to whom the repository belongs; the group is the one that
# may write to the socket. Nothing else need be writable: --read-only works.
# Whoever may use that socket is root on the host, whatever the user is.
#
# There are no CA certificates in it: the engine's come with DOCKER_CERT_PATH
# and the server's with --tls-ca, each from a file that you mount.
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
