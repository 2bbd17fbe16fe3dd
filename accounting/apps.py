from django.apps import AppConfig


class AccountingConfig(AppConfig):
    name = "accounting"
    verbose_name = "Who may call, and what happened"

    def ready(self) -> None:
        from accounting.accounts.middleware import listen

        listen()
