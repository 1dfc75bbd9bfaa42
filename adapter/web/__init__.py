"""The coordinator's page: routes, templates, static files. Decisions are made in ``adapter.review``."""
