from django.apps import AppConfig


class RoutingConfig(AppConfig):
    name = "routing"
    verbose_name = "Where requests go"

    def ready(self) -> None:
        """Versions are kept, and other processes told, of every change from the first one on; accounting's pages learn names
        of models from here."""
        from accounting.access.offers import offer_names
        from routing.selectors import offered
        from routing.versions import keeping, signals

        offer_names(offered)
        keeping.start()
        signals.start()
