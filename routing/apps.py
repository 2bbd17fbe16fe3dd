from django.apps import AppConfig


class RoutingConfig(AppConfig):
    name = "routing"
    verbose_name = "Where requests go"

    def ready(self) -> None:
        """Versions are kept, and other processes told, of every change from the first one on."""
        from routing.versions import keeping, signals

        keeping.start()
        signals.start()
