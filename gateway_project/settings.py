"""Django's settings. Every variable is documented in docs/configure.md; nothing else reads the environment."""

from pathlib import Path

from gateway_project.crypto import fernet_key
from gateway_project.environment import (
    UnusableSetting,
    data_directory,
    database,
    mail,
    read,
    read_flag,
    read_integer,
    read_list,
    read_networks,
    secret_or_generated,
)
from gateway_project.telemetry import logging_settings

BASE_DIR = Path(__file__).resolve().parent.parent
GATEWAY_DATA_DIR = data_directory(BASE_DIR)

SECRET_KEY = secret_or_generated("GATEWAY_SECRET_KEY", GATEWAY_DATA_DIR)
GATEWAY_FIELD_KEYS = [key.strip() for key in secret_or_generated("GATEWAY_FIELD_KEYS", GATEWAY_DATA_DIR).split(",")]
for _key in GATEWAY_FIELD_KEYS:
    try:
        fernet_key(_key)
    except ValueError as error:
        raise UnusableSetting(f"GATEWAY_FIELD_KEYS: {error}") from None

DEBUG = False
ALLOWED_HOSTS = read_list("GATEWAY_ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
GATEWAY_PUBLIC_URL = read("GATEWAY_PUBLIC_URL").rstrip("/")
if GATEWAY_PUBLIC_URL and not GATEWAY_PUBLIC_URL.startswith(("http://", "https://")):
    raise UnusableSetting("GATEWAY_PUBLIC_URL: must begin with http:// or https://")
CSRF_TRUSTED_ORIGINS = [GATEWAY_PUBLIC_URL] if GATEWAY_PUBLIC_URL else []
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = GATEWAY_PUBLIC_URL.startswith("https://")
SESSION_COOKIE_HTTPONLY = True
SESSION_ENGINE = "gateway_project.sessions"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

GATEWAY_PORT = read_integer("GATEWAY_PORT", 8000, least=0, most=65535)
GATEWAY_WORKERS = read_integer("GATEWAY_WORKERS", 1, least=1, most=256)
REDIS_URL = read("REDIS_URL")
if REDIS_URL and not REDIS_URL.startswith(("redis://", "rediss://", "unix://")):
    raise UnusableSetting("REDIS_URL: must begin with redis://, rediss:// or unix://")

# Bytes of one request body after decoding. Anthropic takes 32 MB, Vertex 30, Bedrock 20 (vendors' pages, 2026-08).
GATEWAY_MAX_BODY_BYTES = read_integer("GATEWAY_MAX_BODY_BYTES", 32 * 1024 * 1024, least=1024, most=1024**3)
# Seconds that running streams get after SIGTERM.
GATEWAY_DRAIN_SECONDS = read_integer("GATEWAY_DRAIN_SECONDS", 30, least=0, most=3600)
# Seconds of upstream silence after which a stream gets a ping. Claude Code gives up after 300 s (2.1.330).
GATEWAY_PING_SECONDS = read_integer("GATEWAY_PING_SECONDS", 15, least=1, most=250)
# Most client connections of one server process; those beyond get 503.
GATEWAY_MAX_CONNECTIONS = read_integer("GATEWAY_MAX_CONNECTIONS", 4096, least=1, most=1_000_000)
# The head of a request: bytes of its first line and headers, number of headers (431), seconds until it is complete.
GATEWAY_MAX_HEAD_BYTES = read_integer("GATEWAY_MAX_HEAD_BYTES", 64 * 1024, least=1024, most=1024**2)
GATEWAY_MAX_HEADERS = read_integer("GATEWAY_MAX_HEADERS", 200, least=10, most=10_000)
GATEWAY_HEAD_SECONDS = read_integer("GATEWAY_HEAD_SECONDS", 30, least=1, most=3600)
# Seconds of silence between two pieces of a request's body (408), and of a client that takes nothing of its answer.
GATEWAY_BODY_SECONDS = read_integer("GATEWAY_BODY_SECONDS", 60, least=1, most=3600)
GATEWAY_SEND_SECONDS = read_integer("GATEWAY_SEND_SECONDS", 900, least=1, most=86_400)
# Seconds that an idle connection is kept; longer than a proxy in front keeps it, or a request meets its end.
GATEWAY_KEEP_ALIVE_SECONDS = read_integer("GATEWAY_KEEP_ALIVE_SECONDS", 75, least=1, most=3600)
# Who may read /metrics without an API token: addresses and networks.
GATEWAY_METRICS_ALLOW = read_networks("GATEWAY_METRICS_ALLOW", "127.0.0.0/8,::1")
# What sends requests to providers (docs/decisions/0006-upstream-transport.md).
GATEWAY_UPSTREAM_TRANSPORT = read("GATEWAY_UPSTREAM_TRANSPORT", "lean")
if GATEWAY_UPSTREAM_TRANSPORT not in {"lean", "aiohttp"}:
    raise UnusableSetting("GATEWAY_UPSTREAM_TRANSPORT: must be lean or aiohttp")
# Whose X-Forwarded-For is believed: addresses and networks of proxies in front of the gateway.
GATEWAY_TRUSTED_PROXIES = read_networks("GATEWAY_TRUSTED_PROXIES")
# Whether a change of routing made in the console waits for a second administrator.
GATEWAY_CONFIG_APPROVAL = read_flag("GATEWAY_CONFIG_APPROVAL", default=False)
# Set by the development server only: mounts the simulated provider.
GATEWAY_SIMULATOR = False

INSTALLED_APPS = [
    "routing",  # before daphne and staticfiles: its `runserver` extends daphne's
    "accounting",
    "daphne",
    "channels",
    "gateway_project.console.ConsoleConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_filters",
    "django_htmx",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "gateway_project.headers.ContentSecurityPolicy",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "gateway_project.dashboard.language.PageLanguage",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "accounting.accounts.middleware.SignedIn",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

ROOT_URLCONF = "gateway_project.urls"
ASGI_APPLICATION = "gateway_project.asgi.application"
APPEND_SLASH = False  # a redirect would turn a POST into a GET; unknown addresses are 404

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DATABASES = {"default": database(GATEWAY_DATA_DIR)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "accounting.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "/accounts/login/"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/accounts/login/"

_MAIL = mail()
GATEWAY_MAIL = bool(_MAIL)  # whether mail can be sent at all; without, pages offer links only
EMAIL_BACKEND = _MAIL.get("EMAIL_BACKEND", "django.core.mail.backends.dummy.EmailBackend")
EMAIL_HOST = _MAIL.get("EMAIL_HOST") or "localhost"
EMAIL_PORT = _MAIL.get("EMAIL_PORT") or 25
EMAIL_HOST_USER = _MAIL.get("EMAIL_HOST_USER") or ""
EMAIL_HOST_PASSWORD = _MAIL.get("EMAIL_HOST_PASSWORD") or ""
EMAIL_USE_TLS = _MAIL.get("EMAIL_USE_TLS", False)
EMAIL_USE_SSL = _MAIL.get("EMAIL_USE_SSL", False)
EMAIL_FILE_PATH = _MAIL.get("EMAIL_FILE_PATH") or None
EMAIL_TIMEOUT = 10  # seconds
DEFAULT_FROM_EMAIL = SERVER_EMAIL = read("GATEWAY_MAIL_FROM", "gateway@localhost")
# For tests: webhooks may go to private addresses, and without TLS.
GATEWAY_WEBHOOK_ALLOW_PRIVATE = read_flag("GATEWAY_WEBHOOK_ALLOW_PRIVATE", default=False)

LANGUAGE_CODE = "en"
# Those that pages are complete in. Every text of the dashboard is marked; a catalogue goes to locale/, with its line here.
LANGUAGES = [("en", "English"), ("de", "Deutsch"), ("fr", "Français"), ("ja", "日本語")]
LOCALE_PATHS = [BASE_DIR / "locale"]
FORMAT_MODULE_PATH = ["gateway_project.formats"]
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True

STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = True  # serves straight from the packages; no collectstatic step to forget

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["accounting.api.authentication.ApiTokenAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["accounting.api.permissions.DenyAll"],
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_PAGINATION_CLASS": "accounting.api.pagination.Pages",
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["accounting.api.parsing.JsonParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Gateway API",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "ENUM_NAME_OVERRIDES": {  # choices that several tables call `kind`
        "AlertKindEnum": "accounting.models.AlertRule.Kind",
        "AlertDestinationKindEnum": "accounting.models.AlertDestination.Kind",
        "LedgerKindEnum": "accounting.models.LedgerEntry.Kind",
    },
}

LOGGING = logging_settings(
    read("GATEWAY_LOG_LEVEL", "INFO").upper(), json_lines=read_flag("GATEWAY_LOG_JSON", default=True)
)
