"""People in the console: an address, a role, whether they may sign in. Passwords are set on a page of their own."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.safestring import SafeString

from accounting.accounts.browsers import browser_of
from accounting.models import User
from accounting.signing_in import end_sign_ins, sign_ins_of
from accounting.templatetags.console import moment, pill
from gateway_project.console.access import AUDITORS, actor_of, auditors
from gateway_project.console.editing import ConsoleAdmin, change_set
from gateway_project.console.passwords import SomeonesPasswordForm

ROLES = {
    "none": "none: uses the gateway, not this console",
    "auditor": "auditor: sees everything here, changes nothing",
    "administrator": "administrator: changes everything",
}


def role_of(user: User) -> str:
    if not user.is_staff:
        return "none"
    if user.is_superuser:
        return "administrator"
    return "auditor" if user.pk and user.groups.filter(name=AUDITORS).exists() else "none"


class UserForm(forms.ModelForm):  # type: ignore[type-arg]
    role = forms.ChoiceField(label="Console", choices=list(ROLES.items()), widget=forms.RadioSelect, initial="none")

    class Meta:
        model = User
        fields = ("email", "first_name", "last_name", "is_active")
        labels = {"is_active": "May sign in"}
        help_texts = {"is_active": "Personal keys of a person who may not sign in are refused, too."}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("label_suffix", "")
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.initial["role"] = role_of(self.instance)

    def clean(self) -> dict[str, Any]:
        values = super().clean() or self.cleaned_data
        stays = values.get("role") == "administrator" and values.get("is_active")
        if self.instance.pk and not stays and is_last_administrator(self.instance):
            raise ValidationError("This is the only administrator left; make another one first.")
        return values


class NewUserForm(UserForm):
    first_password = forms.CharField(
        label="Password",
        required=False,
        strip=False,
        max_length=4096,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="Empty: the person exists, for keys and memberships, and cannot sign in yet.",
    )

    def clean_first_password(self) -> str:
        password: str = self.cleaned_data["first_password"]
        if password:
            validate_password(password, self.instance)
        return password


def is_last_administrator(user: User) -> bool:
    others = User.objects.filter(is_superuser=True, is_staff=True, is_active=True).exclude(pk=user.pk)
    return user.is_superuser and user.is_active and not others.exists()


class RoleFilter(admin.SimpleListFilter):
    title = "console"
    parameter_name = "console"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(role, role) for role in ROLES]

    def queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> QuerySet[User]:
        match self.value():
            case "administrator":
                return queryset.filter(is_staff=True, is_superuser=True)
            case "auditor":
                return queryset.filter(is_staff=True, is_superuser=False, groups__name=AUDITORS)
            case "none":
                return queryset.filter(is_staff=False)
        return queryset


@admin.register(User)
class UserAdmin(ConsoleAdmin):
    list_display = ("email", "first_name", "last_name", "role", "state", "seen")
    list_filter = ("is_active", RoleFilter, "memberships__team")
    search_fields = ("email", "first_name", "last_name")
    ordering = ("email",)
    change_form_template = "admin/user_form.html"
    empty_hint = "No people yet."

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        kwargs["form"] = UserForm if obj else NewUserForm
        return super().get_form(request, obj, change=change, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        password = () if obj else ("first_password",)
        if obj and not self.has_change_permission(request, obj):
            return [(None, {"fields": ("email", "first_name", "last_name", "is_active", "is_staff", "is_superuser")})]
        return [(None, {"fields": ("email", ("first_name", "last_name"), *password, "is_active", "role")})]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        role, before = form.cleaned_data["role"], role_of(obj) if change else "none"
        if not change:
            if password := form.cleaned_data["first_password"]:
                obj.set_password(password)
            else:
                obj.set_unusable_password()
        was_auditor = change and obj.groups.filter(name=AUDITORS).exists()
        obj.is_staff, obj.is_superuser = role != "none", role == "administrator"
        changes = change_set(request)
        changes.save(obj)
        if change and not obj.is_active:
            end_sign_ins(changes.actor, obj)
        if was_auditor != (role == "auditor"):
            group = auditors()
            obj.groups.add(group) if role == "auditor" else obj.groups.remove(group)
            changes.note("role changed", obj, {"role": [before, role]})

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if obj is not None and (obj == request.user or is_last_administrator(obj)):
            return False
        return super().has_delete_permission(request, obj)

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("<int:pk>/password/", wrap(self.password_view), name="accounting_user_password"),
            path("<int:pk>/sign-ins/", wrap(self.sign_ins_view), name="accounting_user_sign_ins"),
            *super().get_urls(),
        ]

    def sign_ins_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Where a person is signed in, and the end of it all."""
        user = self.get_object(request, str(pk))
        if not self.has_change_permission(request, user):
            raise PermissionDenied
        if user is None:
            return self.not_there(request)
        if request.method == "POST":
            ended = end_sign_ins(actor_of(request), user)
            messages.success(request, f"{user} is signed out everywhere ({ended}).")
            return HttpResponseRedirect(self.change_address(pk))
        rows = [(row, browser_of(row.user_agent)) for row in sign_ins_of(user)]
        context = {**self.admin_site.each_context(request), "sign_ins": rows, "original": user, "opts": self.opts}
        return TemplateResponse(request, "admin/user_sign_ins.html", {**context, "title": f"Where {user} is signed in"})

    def password_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Sets another person's password."""
        user = self.get_object(request, str(pk))
        if not self.has_change_permission(request, user):
            raise PermissionDenied
        if user is None:
            return self.not_there(request)
        form = SomeonesPasswordForm.of(request)(user, request.POST if request.method == "POST" else None)
        if form.is_bound and form.is_valid():
            form.save()
            messages.success(request, f"The password of {user} is changed; they are signed out everywhere.")
            return HttpResponseRedirect(self.change_address(pk))
        context = {**self.admin_site.each_context(request), "form": form, "original": user, "opts": self.opts}
        return TemplateResponse(request, "admin/user_password.html", {**context, "title": f"Password of {user}"})

    @admin.display(description="last seen", ordering="last_seen")
    def seen(self, user: User) -> SafeString | str:
        return moment(user.last_seen or user.last_login)

    @admin.display(description="console")
    def role(self, user: User) -> SafeString | str:
        if user.is_superuser and user.is_staff:
            return pill("administrator", "info")
        return pill("auditor") if user.is_staff else "—"

    @admin.display(description="state", ordering="is_active")
    def state(self, user: User) -> SafeString:
        return pill("active", "good") if user.is_active else pill("may not sign in", "warn")
