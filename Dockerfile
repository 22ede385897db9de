# One image for the three roles; the command chooses:
#   webserver  dagster-webserver -h 0.0.0.0 -p 3000 -w workspace.yaml
#   daemon     dagster-daemon run -w workspace.yaml
#   by hand    numerai weekly
FROM python:3.11-slim AS build
WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY numerai_assets ./numerai_assets
RUN python -m venv /app/.venv \
 && /app/.venv/bin/pip install --no-cache-dir -c constraints.txt .

FROM python:3.11-slim
RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/* \
 && useradd --create-home numerai
WORKDIR /app
COPY --from=build /app/.venv /app/.venv
COPY workspace.yaml dagster.yaml numerai.toml ./
RUN mkdir -p data && chown -R numerai /app/data
USER numerai
# API keys are given at run time (NUMERAI_PUBLIC_ID, NUMERAI_SECRET_KEY) and are in no layer of the image.
ENV PATH=/app/.venv/bin:$PATH DAGSTER_HOME=/app DAGSTER_STORAGE_DIR=/app/data/dagster PYTHONUNBUFFERED=1
VOLUME /app/data
EXPOSE 3000
CMD ["dagster-webserver", "-h", "0.0.0.0", "-p", "3000", "-w", "workspace.yaml"]
