# Debian 12 or newer. The second stage has the first one's Python, to which the virtual environment belongs.
ARG BASE=debian:bookworm-slim

FROM ${BASE} AS build
RUN apt-get -qq update \
    && apt-get -qq install --no-install-recommends -y python3 python3-venv
COPY . /src
RUN /src/package/virtualenv

FROM ${BASE}
RUN apt-get -qq update \
    && apt-get -qq install --no-install-recommends -y ca-certificates python3 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log \
    && install -d -o 10001 -g 10001 -m 700 /var/lib/ss-pusher \
    && ln -s /opt/ss-pusher/bin/ss-pusher /usr/bin/ss-pusher
COPY --from=build /opt/ss-pusher /opt/ss-pusher
COPY package/entrypoint /opt/ss-pusher/bin/entrypoint
# As in the unit: numpy would start threads that nobody needs.
ENV CONFIG_FILE=/etc/ss-pusher/config.yml PORT="" OPENBLAS_NUM_THREADS=1
USER 10001:10001
ENTRYPOINT ["/opt/ss-pusher/bin/entrypoint"]
