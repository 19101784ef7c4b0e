# The development tools that README.md lists under "Try it". Build it with `make image`, which passes the versions that
# the Makefile and the Pipfile name. It contains no code and no Python package: `make setup` installs those.
ARG PYTHON_VERSION
ARG NODE_VERSION
ARG TERRAFORM_VERSION

FROM node:${NODE_VERSION} AS node
FROM hashicorp/terraform:${TERRAFORM_VERSION} AS terraform

# not the -slim image: this one has make, git and curl
FROM python:${PYTHON_VERSION}
COPY --from=terraform /bin/terraform /usr/local/bin/
COPY --from=node /usr/local/bin/node /usr/local/bin/
COPY --from=node /usr/local/lib/node_modules/npm /usr/local/lib/node_modules/npm
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm

# .venv and .tools are here for their owner: a new volume takes it from the image
RUN useradd --create-home --shell /bin/bash developer \
    && install --directory --owner developer /workspace /workspace/.venv /workspace/.tools
USER developer
WORKDIR /workspace
