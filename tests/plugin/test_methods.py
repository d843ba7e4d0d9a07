from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, cast

import pytest
import torch
import tyro
import yaml
from nerfstudio.configs.dataparser_configs import all_dataparsers
from nerfstudio.configs.method_configs import AnnotatedBaseConfigUnion, all_descriptions, all_methods

from sage_ns.errors import CaptureError, SageError, show_as_panels
from sage_ns.plugin.methods import METHODS, configured
from sage_ns.plugin.optimizers import DecayConfig, FusedAdamConfig
from sage_ns.plugin.presets import PRESETS
from sage_ns.training.config import SelfSuperviseConfig

NAMES = ("sage-multiview", "sage-monocular", "sage-oneshot", "surfels", "gaussian-avatars", "sage-paper")
BASELINES = ("gaussian-avatars",)


def test_nerfstudio_discovers_methods_and_dataparser() -> None:
    for name in NAMES:
        assert all_methods[name].method_name == name
        assert all_descriptions[name]
    assert "flame-capture" in all_dataparsers
    assert set(METHODS) == set(NAMES)


def test_console_scripts_and_entry_points_can_be_imported() -> None:
    for group in ("console_scripts", "nerfstudio.method_configs", "nerfstudio.dataparser_configs"):
        ours = [each for each in entry_points(group=group) if each.value.startswith("sage_ns.")]
        assert ours and all(each.load() is not None for each in ours)


def test_importing_the_methods_stays_cheap() -> None:
    """All ns-* commands import this, for other people's methods too: no compilers, no mesh libraries."""
    heavy = "numba", "llvmlite", "smplx", "trimesh", "embreex", "warp", "skimage"
    script = f"import sys, sage_ns.plugin.methods; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("method", NAMES)
def test_every_parameter_group_has_an_optimizer(method: str) -> None:
    from sage_ns.avatar.prediction import SurfelNetworks
    from sage_ns.avatar.surfels import BoundSurfels

    over_the_field = {"field_grid", "field_network", "appearance", "shape", "room_light", "exposure", "frame_poses"}
    tuned = {"flame_translation", "flame_pose", "flame_expression"}
    others = tuned if method in BASELINES else {*SurfelNetworks.DETAILS} | over_the_field
    assert set(METHODS[method].optimizers) == {*BoundSurfels.PARAMETERS} | others


def test_gaussian_avatars_has_the_rates_of_the_public_code_and_none_of_our_losses(tmp_path: Path) -> None:
    config: Any = configured("gaussian-avatars", data=tmp_path, preset="small")
    config.set_timestamp()
    rates = {name: group["optimizer"].lr for name, group in config.optimizers.items()}
    assert rates == {
        "means": 5e-3,
        "quaternions": 1e-3,
        "log_scales": 1.7e-2,
        "opacity_logits": 5e-2,
        "sh_dc": 2.5e-3,
        "sh_rest": 1.25e-4,
        "flame_translation": 1e-6,
        "flame_pose": 1e-5,
        "flame_expression": 1e-3,
    }
    decaying = {name for name, group in config.optimizers.items() if group["scheduler"] is not None}
    assert decaying == {"means"}
    optimizer = torch.optim.Adam([torch.zeros(1)], lr=5e-3)
    scheduler = config.optimizers["means"]["scheduler"].setup().get_scheduler(optimizer, lr_init=5e-3)
    factors = [scheduler.lr_lambdas[0](step) for step in (0, 1000, 2000)]
    assert factors == pytest.approx([1.0, 0.1, 0.01]), "log-linear to 5e-5 over all steps"
    model = config.pipeline.model
    weights = {name: weight for name, weight in vars(model.losses).items() if weight}
    assert weights == {"l1": 0.8, "dissimilarity": 0.2, "position_hinge": 0.01, "scale_hinge": 1.0}
    assert (model.densification.most, config.pipeline.steps.self_supervise) == (30_000, 0)
    assert not (model.with_sdf or model.mouth or model.correction or model.random_background)
    assert model.refine_tracking == "never"


def test_configured_sets_fields_of_a_copy(tmp_path: Path) -> None:
    config: Any = configured(
        "surfels",
        data=tmp_path,
        head_model="head.npz",
        preset="paper",
        overrides={"pipeline.model.sh_degree": 2, "optimizers.means.optimizer.lr": 1.0, "vis": "tensorboard"},
    )
    assert config.pipeline.datamanager.data == tmp_path
    assert config.pipeline.datamanager.dataparser.head_model == Path("head.npz")
    assert (config.preset, config.vis, config.pipeline.model.sh_degree) == ("paper", "tensorboard", 2)
    assert config.optimizers["means"]["optimizer"].lr == 1.0
    assert METHODS["surfels"].optimizers["means"]["optimizer"].lr != 1.0


@pytest.mark.parametrize(
    ("method", "overrides", "message"),
    [
        (
            "sage",
            {},
            r"no method .sage.\. Methods: gaussian-avatars, sage-monocular, sage-multiview, sage-oneshot, sage-paper, "
            r"surfels",
        ),
        ("surfels", {"pipeline.model.surfels": 3}, "no field 'pipeline.model.surfels'"),
        ("surfels", {"pipeline.modle.sh_degree": 3}, "no field 'pipeline.modle.sh_degree'"),
        ("surfels", {"optimizers.sdf.lr": 3}, "no field 'optimizers.sdf.lr'"),
    ],
)
def test_configured_refuses_unknown_methods_and_fields(method: str, overrides: dict, message: str) -> None:
    with pytest.raises(SageError, match=message):
        configured(method, data="x", overrides=overrides)


def test_an_unknown_preset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SageError, match=r"no preset .huge.\. Presets: auto, paper, small"):
        configured("surfels", data=tmp_path, preset="huge").set_timestamp()


@pytest.mark.parametrize("preset", ["auto", "paper", "small"])
def test_presets_fill_in_settings_that_are_none(preset: str, tmp_path: Path) -> None:
    config: Any = configured("surfels", data=tmp_path, preset=preset)
    config.set_timestamp()
    chosen = PRESETS[preset if preset != "auto" else ("paper" if torch.cuda.is_available() else "small")]
    assert config.pipeline.model.num_surfels == chosen.model["num_surfels"]
    assert config.max_num_iterations == config.pipeline.steps.reconstruct == chosen.steps["reconstruct"]
    schedulers = [group["scheduler"] for group in config.optimizers.values() if group["scheduler"]]
    assert schedulers and all(each.max_steps == chosen.steps["reconstruct"] for each in schedulers)


@pytest.mark.parametrize(
    ("given", "total", "first"),
    [
        ({}, 2800, 2000),  # the preset's
        ({"max_num_iterations": 280}, 280, 200),  # the preset's share of a given total
        ({"max_num_iterations": 80}, 80, 57),
        ({"max_num_iterations": 1}, 1, 1),
        ({"pipeline.steps.reconstruct": 500}, 1300, 500),
        ({"pipeline.steps.reconstruct": 500, "max_num_iterations": 700}, 700, 500),
        ({"pipeline.steps.self_supervise": 0}, 2000, 2000),
        ({"pipeline.steps.self_supervise": 0, "max_num_iterations": 80}, 80, 80),
        ({"pipeline.steps.self_supervise": 0, "pipeline.steps.reconstruct": 500}, 500, 500),
    ],
)
def test_steps_are_divided_among_the_phases(given: dict[str, Any], total: int, first: int, tmp_path: Path) -> None:
    config: Any = configured("sage-multiview", data=tmp_path, preset="small", overrides=given)
    config.set_timestamp()
    assert (config.max_num_iterations, config.pipeline.steps.reconstruct) == (total, first)
    assert config.optimizers["means"]["scheduler"].max_steps == total, "rates decay over both phases"
    config.set_timestamp()  # as for a config that was read from a file
    assert (config.max_num_iterations, config.pipeline.steps.reconstruct) == (total, first)


def test_both_presets_have_phase_2_and_surfels_has_not(tmp_path: Path) -> None:
    for preset, both in PRESETS.items():
        config: Any = configured("sage-multiview", data=tmp_path, preset=preset)
        config.set_timestamp()
        assert vars(config.pipeline.steps) == both.steps
        assert config.max_num_iterations == sum(both.steps.values())
    ablation: Any = configured("surfels", data=tmp_path, overrides={"max_num_iterations": 80})
    ablation.set_timestamp()
    model = ablation.pipeline.model
    assert not (ablation.pipeline.steps.self_supervise or model.with_sdf or model.correction or model.mouth)
    assert ablation.pipeline.steps.reconstruct == 80


def test_chosen_values_win_over_the_preset(tmp_path: Path) -> None:
    overrides = {"pipeline.model.num_surfels": 7, "max_num_iterations": 9, "machine.seed": 11}
    config: Any = configured("surfels", data=tmp_path, preset="paper", overrides=overrides)
    config.optimizers["means"]["scheduler"].max_steps = 5
    config.set_timestamp()
    assert (config.pipeline.model.num_surfels, config.max_num_iterations, config.pipeline.seed) == (7, 9, 11)
    assert config.optimizers["means"]["scheduler"].max_steps == 5


def test_a_typed_value_is_never_replaced_even_one_that_equals_a_default(tmp_path: Path) -> None:
    small = PRESETS["small"].model["sdf.num_levels"]
    overrides = {"pipeline.model.sdf.num_levels": small, "pipeline.model.networks": False}
    config: Any = configured("sage-multiview", data=tmp_path, preset="paper", overrides=overrides)
    config.set_timestamp()
    assert (config.pipeline.model.sdf.num_levels, config.pipeline.model.networks) == (small, False)
    assert config.pipeline.model.sdf.finest == PRESETS["paper"].model["sdf.finest"]
    assert config.preset == "paper" and config.changed == {"sdf.num_levels": small, "networks": False}


@pytest.mark.parametrize("option", ["--pipeline.seed", "--changed"])
def test_no_option_sets_what_the_trainer_records(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The trainer would replace the user's value."""
    with pytest.raises(SystemExit):
        tyro.cli(AnnotatedBaseConfigUnion, args=["surfels", "--data", "capture", option, "5"])
    assert option in capsys.readouterr().err


def test_a_run_says_what_it_has_changed_from_its_preset(tmp_path: Path) -> None:
    plain: Any = configured("sage-multiview", data=tmp_path, preset="small")
    plain.set_timestamp()
    assert plain.changed == {}
    changed: Any = configured("surfels", data=tmp_path, preset="small", overrides={"pipeline.model.losses.l1": 0.5})
    changed.set_timestamp()
    expected = {"with_sdf": False, "correction": False, "mouth": False, "wrinkles": 0.0, "losses.l1": 0.5}
    assert changed.changed == expected
    assert yaml.load(yaml.dump(changed), Loader=yaml.Loader).changed == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_num_iterations", 0),
        ("pipeline.model.num_surfels", 0),
        ("pipeline.model.num_rays", -1),
        ("pipeline.steps.reconstruct", -5),
    ],
)
def test_zero_does_not_mean_the_presets_value(name: str, value: int, tmp_path: Path) -> None:
    with pytest.raises(SageError, match=rf"{name.split('.')[-1].replace('_', '-')} is {value}; it must be at least"):
        configured("sage-multiview", data=tmp_path, overrides={name: value}).set_timestamp()


def test_a_training_without_any_phase_is_refused(tmp_path: Path) -> None:
    overrides = {"pipeline.steps.reconstruct": 0, "pipeline.steps.self_supervise": 0}
    with pytest.raises(SageError, match="every phase has 0 steps"):
        configured("sage-multiview", data=tmp_path, overrides=overrides).set_timestamp()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("pipeline.model.correction_gamma", -1.0, r"correction-gamma is -1; it can be 0 to 100"),
        ("pipeline.model.wrinkle_dimming", float("nan"), r"wrinkle-dimming is nan; it can be 0 to 100"),
        ("pipeline.appearance_everywhere", 1.5, r"appearance-everywhere is 1.5; it can be 0 to 1"),
        ("pipeline.model.networks", False, r"networks-alone needs networks over the field"),
        ("pipeline.model.with_sdf", False, r"networks-alone needs networks over the field"),
    ],
)
def test_settings_that_make_no_sense_are_refused(name: str, value: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(SageError, match=message):
        configured("sage-paper", data=tmp_path, overrides={name: value}).set_timestamp()


@pytest.mark.parametrize(("preset", "sizes"), [(name, each.model) for name, each in PRESETS.items()])
def test_the_papers_method_takes_its_sizes_from_the_preset(preset: str, sizes: Any, tmp_path: Path) -> None:
    config: Any = configured("sage-paper", data=tmp_path, preset=preset)
    config.set_timestamp()
    assert config.pipeline.model.num_surfels == sizes["num_surfels"] and config.pipeline.model.networks is True
    assert vars(config.pipeline.steps) == PRESETS[preset].steps


def test_gaussian_avatars_rates_decay_in_phase_1_and_stay_in_phase_2(tmp_path: Path) -> None:
    config: Any = configured("sage-paper", data=tmp_path, preset="small")
    config.set_timestamp()
    first, total = config.pipeline.steps.reconstruct, config.max_num_iterations
    rates = {}
    for name in ("means", "quaternions", "opacity_logits"):
        group = config.optimizers[name]
        assert group["scheduler"].max_steps == first
        optimizer = group["optimizer"].setup([torch.nn.Parameter(torch.zeros(3))])
        start = group["optimizer"].lr
        factor = group["scheduler"].setup().get_scheduler(optimizer, start).lr_lambdas[0]
        rates[name] = [start * factor(step) for step in (0, first, total)]
    assert rates["means"] == pytest.approx([5e-3, 5e-5, 5e-5])
    assert rates["quaternions"] == pytest.approx([1e-3] * 3) and rates["opacity_logits"] == pytest.approx([5e-2] * 3)
    alone: Any = configured("sage-paper", data=tmp_path, overrides={"pipeline.steps.reconstruct": 0})
    alone.set_timestamp()
    assert alone.optimizers["means"]["scheduler"].max_steps == alone.max_num_iterations


def test_the_documentation_lists_every_departure_from_the_paper() -> None:
    """The table of docs/how_it_works.md names each setting in which the methods differ, with both values."""
    page = (Path(__file__).parents[2] / "docs" / "how_it_works.md").read_text()
    cells = [[cell.strip() for cell in line.strip("| ").split("|")] for line in page.splitlines() if line[:1] == "|"]
    table = {row[0].strip("`"): (row[1], row[2]) for row in cells if len(row) == 4}
    ours, papers = (cast(Any, METHODS[name].pipeline) for name in ("sage-multiview", "sage-paper"))
    expected = {f"model.{name}": value for name, value in _differing(ours.model, papers.model)}
    expected |= {name: value for name, value in _differing(ours, papers) if name in SelfSuperviseConfig.__annotations__}
    assert len(expected) > 25
    for name, (mine, theirs) in expected.items():
        assert table.get(name) == (_shown(mine), _shown(theirs)), name


def _differing(ours: Any, papers: Any) -> Iterator[tuple[str, tuple[Any, Any]]]:
    for field in fields(ours):
        mine, theirs = getattr(ours, field.name), getattr(papers, field.name)
        if field.name == "losses":
            yield from ((f"losses.{name}", pair) for name, pair in _differing(mine, theirs))
        elif mine != theirs and field.name != "model":
            yield field.name, (mine, theirs)


def _shown(value: Any) -> str:
    if value is None:
        return "None"
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value).removesuffix(".0")


@pytest.mark.parametrize("device", ["cpu", "cuda", "mps"])
def test_an_unavailable_device_becomes_the_cpu(device: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config: Any = configured("surfels", data=tmp_path, overrides={"machine.device_type": device})
    config.set_timestamp()
    wanted = "cuda" if device == "cuda" and torch.cuda.is_available() else "cpu"
    assert config.machine.device_type == wanted
    assert ("Using the CPU" in capsys.readouterr().out) == (wanted != device)


def test_paths_do_not_depend_on_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config: Any = configured("surfels", data="capture", head_model="head.npz")
    config.set_timestamp()
    datamanager = config.pipeline.datamanager
    assert config.data == datamanager.data == datamanager.dataparser.data == tmp_path / "capture"
    assert datamanager.dataparser.head_model == tmp_path / "head.npz"
    assert config.output_dir == tmp_path / "outputs"
    assert datamanager.run_dir == config.get_base_dir()
    again = yaml.load(yaml.dump(config), Loader=yaml.Loader)
    assert again.get_base_dir() == config.get_base_dir()


def test_learning_rates_decay_to_their_end_as_plain_numbers() -> None:
    parameter = torch.nn.Parameter(torch.zeros(3))
    optimizer = FusedAdamConfig(lr=1e-2).setup([parameter])
    scheduler = DecayConfig(lr_final=1e-4, max_steps=10).setup().get_scheduler(optimizer, 1e-2)
    rates = []
    for _ in range(11):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert all(type(rate) is float for rate in rates), "numpy's numbers make torch refuse the checkpoint"
    assert rates[0] == pytest.approx(1e-2) and rates[10] == pytest.approx(1e-4)
    assert rates[5] == pytest.approx(1e-3)  # log-linear


def test_only_our_own_errors_become_panels(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    others: list[type] = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, trace: others.append(kind))
    show_as_panels()
    hook = sys.excepthook
    show_as_panels()
    assert sys.excepthook is hook
    hook(ValueError, ValueError("x"), None)
    assert others == [ValueError]
    hook(CaptureError, CaptureError("image [red] is missing"), None)
    printed = capsys.readouterr().err
    assert "CaptureError" in printed and "image [red] is missing" in printed
    assert others == [ValueError]
