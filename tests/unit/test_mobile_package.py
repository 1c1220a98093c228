"""A model as a package: which variant, what is written, and when nothing is."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from float_graphs import FloatNet
from gpu_drivers import any_driver
from mobile_models import float_net, float_ops, int8_net, strided, two_functions, two_ports

from edge_export.errors import ExportError, MobileError
from edge_export.mobile import package as package_module
from edge_export.mobile.model import Target, Variant
from edge_export.mobile.package import (
    DELEGATES_FILE,
    UNCHECKED_METAL,
    WRITERS,
    UnfitError,
    Wishes,
    export_mobile,
    prepare,
    write_package,
)
from edge_export.mobile.source import mobile_model
from edge_export.mobile.variants import alternatives, default_variant, make
from edge_export.mobile.verdict_file import SCHEMA_PATH, VERDICT_FILE
from edge_quantize.data import Samples
from edge_quantize.errors import GpuUnavailableError
from edge_quantize.gpu import Driver
from edge_quantize.graph import DType
from edge_quantize.graph.writer import write_tflite
from edge_quantize.ingest.tflite import read_tflite

SCHEMA = json.loads(SCHEMA_PATH.read_text(encoding="utf-8"))
UNCHECKED = Wishes(check=False)


@pytest.fixture(scope="module")
def driver() -> Driver:
    return any_driver()


def verdict_of(folder: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((folder / VERDICT_FILE).read_text(encoding="utf-8"))
    jsonschema.validate(found, SCHEMA)
    return found


class TestVariants:
    def test_the_default_keeps_integers_and_halves_floats(self) -> None:
        integers = mobile_model(write_tflite(int8_net()), "int8")
        floats = mobile_model(write_tflite(float_net()), "net")
        assert default_variant(integers) is Variant.INT8
        assert default_variant(floats) is Variant.FLOAT16
        assert make(integers, Variant.INT8).model is integers
        assert make(floats, Variant.FLOAT32).model is floats
        assert alternatives(integers, Variant.INT8) == (Variant.FLOAT16, Variant.FLOAT32)
        assert alternatives(floats, Variant.FLOAT16) == (Variant.FLOAT32,)

    @pytest.mark.parametrize("variant", list(Variant))
    def test_inputs_and_outputs_keep_names_order_and_shapes(self, variant: Variant) -> None:
        random = np.random.default_rng(0)
        for graph in (float_net(), int8_net(), two_ports()):
            source = mobile_model(write_tflite(graph), graph.name)
            samples = Samples(
                tuple(
                    random.standard_normal((8, *graph.tensors[i].shape[1:])).astype(np.float32)
                    for i in graph.inputs
                )
            )
            made = make(source, variant, samples).model
            for one, other in (
                (source.inputs, made.inputs),
                (source.outputs, made.outputs),
            ):
                assert [p.name for p in one] == [p.name for p in other]
                assert [p.shape for p in one] == [p.shape for p in other]
            assert made.signature == source.signature
            integers = made.variant is Variant.INT8
            assert {p.dtype for p in made.inputs} == {DType.INT8 if integers else DType.FLOAT32}

    def test_halves_become_whole_floats_again(self) -> None:
        source = mobile_model(write_tflite(float_net()), "net")
        half = mobile_model(make(source, Variant.FLOAT16).model.content, "net")
        assert half.variant is Variant.FLOAT16
        whole = make(half, Variant.FLOAT32).model
        assert not any(t.dtype is DType.FLOAT16 for t in read_tflite(whole.content).tensors)
        assert whole.signature == source.signature

    def test_a_model_without_anything_to_halve_says_so(self) -> None:
        made = make(mobile_model(write_tflite(float_ops("exp", "EXP")), "exp"), Variant.FLOAT16)
        assert made.model.variant is Variant.FLOAT32
        assert any("no constant became float16" in note for note in made.notes)

    def test_int8_of_a_float_model_needs_samples(self) -> None:
        with pytest.raises(MobileError, match="--data"):
            make(mobile_model(write_tflite(float_net()), "net"), Variant.INT8)


class TestRightPackages:
    @pytest.mark.parametrize("target", list(Target))
    def test_a_package_holds_the_model_its_verdict_and_where_it_runs(
        self, target: Target, driver: Driver, tmp_path: Path
    ) -> None:
        made = export_mobile(
            write_tflite(float_net()), "net", target, tmp_path / "out", driver=driver
        )
        assert made.verdict.right
        said = verdict_of(tmp_path / "out")
        assert said["state"] == "right"
        assert said["target"] == target
        (model,) = (tmp_path / "out").rglob("*.tflite")
        content = model.read_bytes()
        assert content == made.model.content
        assert said["model"]["sha256"] == hashlib.sha256(content).hexdigest()  # type: ignore[index]
        assert said["model"]["variant"] == "float16"  # type: ignore[index]
        assert said["half"]["arithmetic"] == "float16, sums in float16"  # type: ignore[index]
        assert (UNCHECKED_METAL in said["limits"]) == (target is Target.IOS_METAL)  # type: ignore[operator]
        assert (tmp_path / "out" / "README.md").is_file()
        json.loads((tmp_path / "out" / DELEGATES_FILE).read_text(encoding="utf-8"))
        assert [path.name for path in tmp_path.iterdir()] == ["out"]

    def test_how_far_a_variant_is_from_the_model_as_given(self, driver: Driver) -> None:
        made = prepare(write_tflite(float_net()), "net", Target.ANDROID_GPU, driver=driver)
        (drift,) = made.verdict.drift
        assert drift.relative is not None
        assert 0 < drift.relative < 1e-2
        same = Wishes(precision=Variant.FLOAT32)
        made = prepare(write_tflite(float_net()), "net", Target.ANDROID_GPU, same, driver=driver)
        assert made.verdict.drift == ()

    def test_the_packages_own_test_gets_an_inference_of_the_cpu(self, driver: Driver) -> None:
        made = prepare(write_tflite(int8_net()), "int8", Target.ANDROID_GPU, driver=driver)
        assert made.golden is not None
        assert [len(each) for each in made.golden.inputs] == [6 * 6 * 3]
        assert [len(each) for each in made.golden.outputs] == [6 * 6 * 4]
        quantization = made.model.outputs[0].quantization
        assert quantization is not None
        assert made.golden.tolerances == (pytest.approx(quantization.scale, rel=0.02),)  # 1 LSB

    def test_a_phone_may_be_off_by_what_the_check_allowed(self, driver: Driver) -> None:
        made = prepare(write_tflite(float_net()), "net", Target.ANDROID_GPU, driver=driver)
        assert made.golden is not None
        (judged,) = made.verdict.outputs
        largest = np.abs(np.frombuffer(made.golden.outputs[0], "<f4")).max()
        assert made.golden.tolerances == (pytest.approx(judged.tolerance * largest),)

    def test_a_users_samples_are_what_is_compared(self, driver: Driver) -> None:
        random = np.random.default_rng(0)
        samples = Samples((random.standard_normal((5, 8, 8, 3)).astype(np.float32),), source="mine")
        made = prepare(
            write_tflite(float_net()),
            "net",
            Target.ANDROID_GPU,
            Wishes(precision=Variant.INT8, samples=samples),
            driver=driver,
        )
        assert (made.verdict.samples, made.verdict.source) == (5, "mine")
        assert made.model.variant is Variant.INT8

    @pytest.mark.parametrize("target", list(Target))
    @pytest.mark.parametrize("precision", list(Variant)[:2])
    def test_weights_that_are_unpacked_are_not_counted(
        self, precision: Variant, target: Target, driver: Driver, tmp_path: Path
    ) -> None:
        """The same operators compute in every variant; the float16 one has a DEQUANTIZE for each
        of its weights beside them, which no file counts."""
        graph = float_net()
        wishes = Wishes(precision=precision)
        content = write_tflite(graph)
        export_mobile(content, "net", target, tmp_path / "out", wishes, driver=driver)
        count = len(graph.operators)
        said = verdict_of(tmp_path / "out")
        assert said["operators"] == {"total": count, "on_gpu": count}
        placed = json.loads((tmp_path / "out" / DELEGATES_FILE).read_text(encoding="utf-8"))
        assert (placed["summary"]["gpu"], placed["summary"]["cpu"]) == (count, 0)
        unpacking = placed["summary"]["unpacking"]
        assert (unpacking > 0) == (precision is Variant.FLOAT16)
        assert sum(each["unpacks"] for each in placed["operators"]) == unpacking

    def test_one_that_the_gpu_refuses_is_one(self, driver: Driver) -> None:
        net = FloatNet("cut", 3)
        y = net.mean(net.conv(net.input(8, 8, 3), 16, "one", size=3))
        y = net.softmax(net.dense(y, 4, "dense"))
        end = net.builder.operator("LOG_SOFTMAX", [y], dtype=DType.FLOAT32, shape=(1, 4), version=1)
        content = write_tflite(net.builder.build([end]))
        made = prepare(content, "cut", Target.ANDROID_GPU, driver=driver)
        assert made.delegation.observed
        assert "(1 of 5 operators would be the CPU's)" in made.verdict.why
        assert (made.verdict.on_gpu, made.verdict.operators) == (4, 5)
        assert len(made.delegation.refused) == 1
        assert made.delegation.partitions == 2


class TestWrongPackages:
    def test_nothing_is_written_and_the_variant_that_works_is_named(
        self, driver: Driver, tmp_path: Path
    ) -> None:
        content = write_tflite(strided())
        with pytest.raises(UnfitError, match="wrong") as caught:
            export_mobile(content, "strided", Target.ANDROID_GPU, tmp_path / "out", driver=driver)
        verdict = caught.value.package.verdict
        assert verdict.works is Variant.FLOAT16
        assert verdict.first_wrong is not None
        assert not list(tmp_path.iterdir())
        # What is offered is right.
        offered = Wishes(precision=verdict.works)
        made = export_mobile(
            content, "strided", Target.ANDROID_GPU, tmp_path / "out", offered, driver=driver
        )
        assert made.verdict.right
        assert made.verdict.drift  # and how far it is from the integers is said

    def test_force_writes_it_with_the_verdict_inside(self, driver: Driver, tmp_path: Path) -> None:
        made = export_mobile(
            write_tflite(strided()), "strided", Target.IOS_METAL, tmp_path / "out", force=True,
            driver=driver,
        )  # fmt: skip
        assert made.verdict.state == "wrong"
        said = verdict_of(tmp_path / "out")
        assert (said["state"], said["works"]) == ("wrong", "float16")
        assert said["first_wrong"]["op"] == "CONV_2D"  # type: ignore[index]
        assert "wrong" in (tmp_path / "out" / "README.md").read_text("utf-8").lower()

    def test_what_the_gpu_lacks_is_listed(self, driver: Driver, tmp_path: Path) -> None:
        content = write_tflite(float_ops("lacking", "LOG_SOFTMAX", "ZEROS_LIKE"))
        with pytest.raises(UnfitError, match="LOG_SOFTMAX, ZEROS_LIKE") as caught:
            export_mobile(content, "lacking", Target.ANDROID_GPU, tmp_path / "out", driver=driver)
        assert [line.split(":")[0] for line in caught.value.problems] == [
            "operator 0 LOG_SOFTMAX 'log_softmax_0'",
            "operator 1 ZEROS_LIKE 'zeros_like_1'",
        ]
        assert not list(tmp_path.iterdir())

    def test_what_the_metal_delegate_leaves_to_the_cpu_is_no_result_of_its_gpu(
        self, driver: Driver, tmp_path: Path
    ) -> None:
        content = write_tflite(float_ops("up", "EXP", "CEIL", "LOGISTIC"))
        with pytest.raises(UnfitError, match="does not take CEIL") as caught:
            export_mobile(content, "up", Target.IOS_METAL, tmp_path / "out", driver=driver)
        assert caught.value.package.verdict.state == "refused"
        assert [line.split(":")[0] for line in caught.value.problems] == [
            "operator 1 CEIL 'ceil_1'"
        ]
        assert not list(tmp_path.iterdir())
        # The backend that ran here is Android's, and takes it.
        assert prepare(content, "up", Target.ANDROID_GPU, driver=driver).verdict.right

    def test_what_only_the_metal_delegate_takes_cannot_be_checked(self, driver: Driver) -> None:
        content = write_tflite(float_ops("clip", "EXP", "RELU_0_TO_1"))
        verdict = prepare(content, "clip", Target.IOS_METAL, driver=driver).verdict
        assert verdict.state == "refused"
        assert "nothing here can check" in verdict.why
        assert verdict.problems == ("RELU_0_TO_1: Not supported op RELU_0_TO_1",)

    def test_signatures_that_nobody_ran_are_named(self) -> None:
        made = prepare(two_functions("main", "other"), "two", Target.ANDROID_GPU, UNCHECKED)
        assert "signature 'main' alone is run and checked, not 'other'" in made.verdict.limits

    @pytest.mark.parametrize("target", list(Target))
    def test_a_forced_refusal_claims_no_comparison(
        self, target: Target, driver: Driver, tmp_path: Path
    ) -> None:
        content = write_tflite(float_ops("lacking", "EXP", "LOG_SOFTMAX"))
        export_mobile(content, "lacking", target, tmp_path / "out", force=True, driver=driver)
        readme = " ".join((tmp_path / "out" / "README.md").read_text("utf-8").split())
        assert "nothing was compared, because the GPU backend" in readme
        assert "0 samples" not in readme
        assert ", as checked" not in readme
        assert UNCHECKED_METAL not in verdict_of(tmp_path / "out")["limits"]  # type: ignore[operator]

    def test_numbers_that_are_not_finite_are_null(self, driver: Driver, tmp_path: Path) -> None:
        content = write_tflite(float_ops("over", *["EXP"] * 5))
        export_mobile(
            content, "over", Target.ANDROID_GPU, tmp_path / "out", force=True, driver=driver
        )
        assert verdict_of(tmp_path / "out")["state"] == "wrong"


class TestUnchecked:
    def test_it_needs_no_driver_and_says_so_in_the_package(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("EDGE_AUTOGLM_GPU", "none")
        content = write_tflite(strided())
        made = export_mobile(content, "strided", Target.ANDROID_GPU, tmp_path / "out", UNCHECKED)
        assert made.verdict.state == "unchecked"
        said = verdict_of(tmp_path / "out")
        assert said["state"] == "unchecked"
        assert said["outputs"] == []
        # Nothing ran, which is not the same as none on the GPU.
        assert said["operators"] == {"total": 2, "on_gpu": None}
        assert "unchecked" in (tmp_path / "out" / "README.md").read_text("utf-8").lower()

    @pytest.mark.parametrize("target", list(Target))
    def test_what_the_rules_refuse_is_said_all_the_same(
        self, target: Target, tmp_path: Path
    ) -> None:
        content = write_tflite(float_ops("lacking", "EXP", "LOG_SOFTMAX"))
        export_mobile(content, "lacking", target, tmp_path / "out", UNCHECKED)
        said = verdict_of(tmp_path / "out")
        assert said["state"] == "unchecked"
        assert "does not take LOG_SOFTMAX (1 of 2 operators would be" in str(said["why"])
        (problem,) = said["problems"]  # type: ignore[misc]
        assert problem.startswith("operator 1 LOG_SOFTMAX 'log_softmax_1'")
        placed = json.loads((tmp_path / "out" / DELEGATES_FILE).read_text(encoding="utf-8"))
        assert not placed["observed"]
        assert (placed["summary"]["gpu"], placed["summary"]["cpu"]) == (1, 1)

    def test_what_a_conversion_changed_is_in_the_package(self, tmp_path: Path) -> None:
        wishes = Wishes(check=False, remarks=("input 'x' [1, 3, 8, 8] became [1, 8, 8, 3]",))
        content = write_tflite(float_net())
        export_mobile(content, "net", Target.ANDROID_GPU, tmp_path / "out", wishes)
        assert verdict_of(tmp_path / "out")["notes"][0] == wishes.remarks[0]  # type: ignore[index]

    @pytest.mark.parametrize("target", list(Target))
    def test_what_the_rules_send_to_the_cpu_stands_at_the_top(
        self, target: Target, tmp_path: Path
    ) -> None:
        content = write_tflite(float_ops("lacking", "EXP", "LOG_SOFTMAX"))
        export_mobile(content, "lacking", target, tmp_path / "out", UNCHECKED)
        readme = (tmp_path / "out" / "README.md").read_text("utf-8").replace("\n> ", " ")
        banner = " ".join(readme.split("\n## ")[0].split())
        assert "On a phone the whole model is expected always to run on the CPU" in banner
        assert "the GPU has no LOG_SOFTMAX; what would help: replace it" in banner

    def test_without_a_driver_there_is_no_checked_package(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("EDGE_AUTOGLM_GPU", "none")
        with pytest.raises(GpuUnavailableError):
            export_mobile(write_tflite(float_net()), "net", Target.ANDROID_GPU, tmp_path / "out")
        assert not list(tmp_path.iterdir())

    def test_the_same_model_gives_the_same_bytes(self, tmp_path: Path) -> None:
        content = write_tflite(float_net())
        for name in ("one", "two"):
            export_mobile(content, "net", Target.ANDROID_GPU, tmp_path / name, UNCHECKED)
        one, two = (
            {p.relative_to(tmp_path / name): p.read_bytes()
             for p in (tmp_path / name).rglob("*") if p.is_file()}
            for name in ("one", "two")
        )  # fmt: skip
        assert one == two


class TestFolders:
    def test_a_package_takes_the_place_of_the_one_before(self, tmp_path: Path) -> None:
        content = write_tflite(float_net())
        export_mobile(content, "net", Target.ANDROID_GPU, tmp_path / "out", UNCHECKED)
        (tmp_path / "out" / "build").mkdir()
        export_mobile(content, "net", Target.IOS_METAL, tmp_path / "out", UNCHECKED)
        assert verdict_of(tmp_path / "out")["target"] == "ios-metal"
        assert not (tmp_path / "out" / "build").exists()
        assert [path.name for path in tmp_path.iterdir()] == ["out"]

    def test_somebody_elses_folder_is_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "theirs").mkdir()
        (tmp_path / "theirs" / "thesis.txt").write_text("x")
        with pytest.raises(ExportError, match="not made by an export"):
            export_mobile(
                write_tflite(float_net()), "net", Target.ANDROID_GPU, tmp_path / "theirs", UNCHECKED
            )
        assert [p.name for p in (tmp_path / "theirs").iterdir()] == ["thesis.txt"]

    @pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
    def test_a_package_that_cannot_be_finished_leaves_what_was_there(
        self, error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        content = write_tflite(float_net())
        export_mobile(content, "net", Target.ANDROID_GPU, tmp_path / "out", UNCHECKED)
        before = (tmp_path / "out" / VERDICT_FILE).read_bytes()

        def fails(_: object) -> dict[str, object]:
            raise error

        monkeypatch.setattr(package_module, "delegates_json", fails)
        with pytest.raises((ExportError, KeyboardInterrupt)):
            export_mobile(content, "net", Target.IOS_METAL, tmp_path / "out", UNCHECKED)
        assert (tmp_path / "out" / VERDICT_FILE).read_bytes() == before
        assert [path.name for path in tmp_path.iterdir()] == ["out"]

    def test_every_target_has_a_writer(self) -> None:
        assert set(WRITERS) == set(Target)

    def test_a_verdict_is_asked_for_before_anything_is_written(self, tmp_path: Path) -> None:
        package = prepare(write_tflite(float_net()), "net", Target.ANDROID_GPU, UNCHECKED)
        wrong = replace(package, verdict=replace(package.verdict, state="wrong"))
        with pytest.raises(UnfitError):
            write_package(wrong, tmp_path / "out")
        assert not list(tmp_path.iterdir())
