"""Definitions of experiments: layers, variants, metrics and rules, as one TOML file has them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

from msgspec import Meta

from recsys.core.config.ranges import PositiveInt, PositiveShare, Share, Text
from recsys.core.config.toml_reader import Faults, fields_of, read_fields

CONTROL: Final = "control"
"""Name of the variant that every other one is compared with; it changes nothing."""

HOLDOUT: Final = "holdout"
"""Name under which exposures of the permanent holdout are logged; no experiment can have it."""

WINNERS: Final = "winners"
"""The variant of shoppers outside the holdout, who get the promoted winners; the holdout is its control."""

MetricName = Literal["ctr", "conversion", "revenue_per_shopper", "average_order"]
ErrorRate = Annotated[float, Meta(ge=1e-6, le=0.5)]
RelativeEffect = Annotated[float, Meta(ge=1e-4, le=10)]
LONGEST_DAYS: Final = 36_500
Days = Annotated[int, Meta(ge=1, le=LONGEST_DAYS)]
Shoppers = Annotated[int, Meta(ge=1, le=10**9)]
Power = Annotated[float, Meta(ge=0.5, lt=1)]


@dataclass(frozen=True)
class PermanentHoldout:
    """Shoppers who are in no experiment, and for whom no winner changes a list.

    Attributes:
        share: of all shoppers.
        salt: of their draw; with another one, others are drawn.
    """

    share: Share = 0.0
    salt: Text = "holdout"


@dataclass(frozen=True)
class Guardrail:
    """A metric that a variant may not harm.

    Attributes:
        metric: its name.
        margin: largest relative loss that is acceptable.
    """

    metric: MetricName
    margin: PositiveShare = 0.02


@dataclass(frozen=True)
class RetireRule:
    """When a variant is retired before the experiment ends.

    Attributes:
        ctr_share: its CTR is below this share of that of all other variants together; 0 for no rule.
        min_impressions: shown items of the variant before the rule applies.
    """

    ctr_share: Share = 0.05
    min_impressions: PositiveInt = 1000


@dataclass(frozen=True)
class VariantDefinition:
    """One variant.

    Attributes:
        name: its name.
        weight: its part of the experiment's shoppers, relative to the others.
        placements: changed keys by placement, as in the file of placements.
        bundle: version of the bundle that answers all calls of its shoppers; "" for the current one.
        plan: changed settings of the push plan.
    """

    name: str
    weight: float
    placements: Mapping[str, Mapping[str, Any]]
    bundle: str = ""
    plan: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class ExperimentSettings:
    """Settings of an experiment besides its variants.

    Attributes:
        layer: experiments of one layer share its shoppers without overlap; those of different layers are independent.
            "" for a layer of its own.
        part: the experiment's part of the layer, from and to, in [0, 1].
        primary: metric of the verdict.
        minimum_effect: smallest relative effect worth shipping.
        alpha: probability of a false claim over all looks and variants.
        power: probability of finding the smallest effect, for the planned duration.
        max_days: days after which the experiment ends without a finding.
        min_shoppers: shoppers of each variant before the first verdict.
        guardrails: metrics that a variant may not harm.
        retire: when a variant is retired.
        promote_winner: whether `recsys experiments apply` promotes a winner by itself.
    """

    layer: str = ""
    part: Annotated[tuple[Share, ...], Meta(min_length=2, max_length=2)] = (0.0, 1.0)
    primary: MetricName = "ctr"
    minimum_effect: RelativeEffect = 0.05
    alpha: ErrorRate = 0.05
    power: Power = 0.8
    max_days: Days = 42
    min_shoppers: Shoppers = 200
    guardrails: tuple[Guardrail, ...] = ()
    retire: RetireRule = field(default_factory=RetireRule)
    promote_winner: bool = False


@dataclass(frozen=True)
class ExperimentDefinition:
    """One experiment.

    Attributes:
        name: its name.
        settings: its metrics and rules.
        variants: the control first.
        salt: of the draws of its layer.
    """

    name: str
    settings: ExperimentSettings
    variants: tuple[VariantDefinition, ...]
    salt: str

    @property
    def placements(self) -> frozenset[str]:
        """Names of the lists that a variant changes."""
        return frozenset(name for variant in self.variants for name in variant.placements)

    @property
    def bundles(self) -> frozenset[str]:
        """Versions of the bundles that variants name; with any, the experiment is about all lists."""
        return frozenset(variant.bundle for variant in self.variants if variant.bundle)

    @property
    def has_plans(self) -> bool:
        """Whether a variant changes the push plan."""
        return any(variant.plan for variant in self.variants)

    @property
    def digest(self) -> str:
        """Digest of all that decides who sees what; it may not change while the experiment runs."""
        variants = [(each.name, each.weight, each.placements) for each in self.variants]
        whole: list[Any] = [self.name, self.salt, list(self.settings.part), variants]
        if self.bundles:
            whole.append([each.bundle for each in self.variants])
        if self.has_plans:
            whole.append({"plans": [each.plan for each in self.variants]})
        return sha256(json.dumps(whole, sort_keys=True, default=str).encode()).hexdigest()[:16]

    def variant(self, name: str) -> VariantDefinition | None:
        """Return a variant by its name."""
        return next((each for each in self.variants if each.name == name), None)


@dataclass(frozen=True)
class ExperimentFile:
    """The content of a file of experiments.

    Attributes:
        holdout: shoppers who are in no experiment.
        experiments: by name, in the order of the file.
    """

    holdout: PermanentHoldout = field(default_factory=PermanentHoldout)
    experiments: Mapping[str, ExperimentDefinition] = field(default_factory=lambda: MappingProxyType({}))


def holdout_definition(holdout: PermanentHoldout) -> ExperimentDefinition:
    """Return the permanent holdout as an experiment, for the analysis of the effect of all promoted winners."""
    settings = ExperimentSettings(primary="revenue_per_shopper", max_days=LONGEST_DAYS)
    weights = ((CONTROL, holdout.share), (WINNERS, 1 - holdout.share))
    variants = tuple(VariantDefinition(name, weight, {}) for name, weight in weights)
    return ExperimentDefinition(HOLDOUT, settings, variants, holdout.salt)


HOLDOUT_FIELDS: Final = fields_of(PermanentHoldout)
SETTING_FIELDS: Final = fields_of(ExperimentSettings)
TABLES: Final = ("holdout", "layers", "experiments")
VARIANT_KEYS: Final = ("weight", "placements", "bundle", "plan")
PERMANENT_OF_PLAN: Final = ("holdout", "key")
"""Settings of a push plan that no variant may change: the plan's own holdout is permanent."""

MAX_NAME_CHARS: Final = 64
DEFAULT_WEIGHT: Final = 1.0
MAX_WEIGHT: Final = 1e6

_NAME: Final = re.compile(r"\w([\w .+-]*[\w.+-])?")


def parse_experiments(document: Mapping[str, Any]) -> ExperimentFile:
    """Read the parsed TOML of a file of experiments.

    >>> parse_experiments({"experiment": {}})
    Traceback (most recent call last):
    recsys.core.errors.ConfigError: 'experiment' ({}) is not a known table: do you mean 'experiments'?

    Raises:
        ConfigError: with everything that is wrong, except in the changed placements: `recsys.rules.list_variants`
            checks those with the file of placements.
    """
    faults = Faults()
    for key, value in document.items():
        if key not in TABLES:
            faults.unknown_key(key, value, TABLES, "table")
    holdout = PermanentHoldout(
        **read_fields(HOLDOUT_FIELDS, _table(document, "holdout", "", faults), "holdout", faults)
    )
    salts = _salts(_table(document, "layers", "", faults), faults)
    experiments = {}
    for name, table in _table(document, "experiments", "", faults).items():
        path = f"experiments.{name}"
        _check_name(name, "experiments", faults)
        if name == HOLDOUT:
            faults.refuse(path, HOLDOUT, "another name: this one is that of the permanent holdout")
        elif isinstance(table, Mapping):
            experiments[name] = _experiment(name, table, salts, path, faults)
        else:
            faults.refuse(path, table, f"a table, such as [{path}]")
    faults.check()
    return ExperimentFile(holdout, MappingProxyType(experiments))


def _salts(layers: Mapping[str, Any], faults: Faults) -> dict[str, str]:
    salts = {}
    for name, layer in layers.items():
        path = f"layers.{name}"
        _check_name(name, "layers", faults)
        if not isinstance(layer, Mapping) or set(layer) - {"salt"}:
            faults.refuse(path, layer, 'a table with the key salt, such as {salt = "2026"}')
        elif not isinstance(salt := layer.get("salt", name), str) or not salt:
            faults.refuse(f"{path}.salt", salt, "a text")
        else:
            salts[name] = salt
    return salts


def _experiment(
    name: str, table: Mapping[str, Any], salts: Mapping[str, str], path: str, faults: Faults
) -> ExperimentDefinition:
    rest = {key: value for key, value in table.items() if key != "variants"}
    settings = ExperimentSettings(**read_fields(SETTING_FIELDS, rest, path, faults))
    start, end = settings.part
    if start >= end:
        faults.refuse(f"{path}.part", [start, end], "two shares, the first below the second")
    if settings.layer and settings.layer not in salts:
        faults.unknown_name(f"{path}.layer", settings.layer, salts, "layer")
    variants = [
        _variant(key, value, f"{path}.variants.{key}", faults)
        for key, value in _table(table, "variants", path, faults).items()
    ]
    variants.sort(key=lambda each: each.name != CONTROL)
    if len(variants) < 2 or variants[0].name != CONTROL:
        names = [each.name for each in variants]
        faults.refuse(f"{path}.variants", names, f"{CONTROL!r} and at least one other variant")
    else:
        for key, changed in (("placements", variants[0].placements), ("plan", variants[0].plan)):
            if changed:
                expected = "none: the control is what is served anyway"
                faults.refuse(f"{path}.variants.{CONTROL}.{key}", dict(changed), expected)
    if settings.promote_winner and any(each.bundle or each.plan for each in variants):
        faults.refuse(f"{path}.promote_winner", True, "false: only changes of placements can be promoted")
    salt = f"layer {salts.get(settings.layer, settings.layer)}" if settings.layer else f"experiment {name}"
    return ExperimentDefinition(name, settings, tuple(variants), salt)


def _variant(name: str, table: Any, path: str, faults: Faults) -> VariantDefinition:
    _check_name(name, path.removesuffix(f".{name}"), faults)
    if not isinstance(table, Mapping):
        faults.refuse(path, table, f"a table, such as [{path}]")
        return VariantDefinition(name, DEFAULT_WEIGHT, {})
    for key, value in table.items():
        if key not in VARIANT_KEYS:
            faults.unknown_key(f"{path}.{key}", value, VARIANT_KEYS)
    weight = table.get("weight", DEFAULT_WEIGHT)
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight <= MAX_WEIGHT:
        faults.refuse(f"{path}.weight", weight, f"a number > 0, at most {MAX_WEIGHT:,.0f}")
        weight = DEFAULT_WEIGHT
    placements = _table(table, "placements", path, faults)
    for placement, changes in placements.items():
        if not isinstance(changes, Mapping) or not changes:
            faults.refuse(f"{path}.placements.{placement}", changes, "a table of keys, such as {diversity = 0.3}")
    bundle = table.get("bundle", "")
    if not isinstance(bundle, str) or ("bundle" in table and not _NAME.fullmatch(bundle)):
        faults.refuse(f"{path}.bundle", bundle, "the name of a bundle, as `recsys models list` prints it")
        bundle = ""
    plan = _table(table, "plan", path, faults)
    for key in PERMANENT_OF_PLAN:
        if key in plan:
            faults.refuse(f"{path}.plan.{key}", plan[key], "none: it is the same for all shoppers, set it in the plan")
    return VariantDefinition(name, float(weight), placements, bundle, plan)


def _check_name(name: str, path: str, faults: Faults) -> None:
    """Refuse a name that calls, logs and files cannot all carry, or that people cannot tell from another one."""
    if len(name) > MAX_NAME_CHARS or not _NAME.fullmatch(name):
        faults.refuse(
            f"a name in {path}",
            name,
            f"1 to {MAX_NAME_CHARS} letters, digits, spaces or any of '_.+-', a letter or a digit first: rename it",
        )


def _table(parent: Mapping[str, Any], key: str, path: str, faults: Faults) -> Mapping[str, Any]:
    value = parent.get(key, {})
    if isinstance(value, Mapping):
        return value
    faults.refuse(f"{path}.{key}" if path else key, value, "a table")
    return {}
