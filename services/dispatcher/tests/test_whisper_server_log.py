import pytest

from whisper_dispatcher.worker.server_log import Backend, describe_exit, parse_backend, parse_stage

CPU_BUILD = [
    "whisper_init_with_params_no_state: use gpu    = 1",
    "whisper_model_load: loading model",
    "whisper_backend_init_gpu: device 0: CPU (type: 0)",
    "whisper_backend_init_gpu: no GPU found",
]
CUDA = [
    "ggml_cuda_init: found 1 CUDA devices:",
    "whisper_init_with_params_no_state: use gpu    = 1",
    "whisper_backend_init_gpu: device 0: CUDA0 (type: 1)",
    "whisper_backend_init_gpu: found GPU device 0: CUDA0 (type: 1, cnt: 0)",
    "whisper_backend_init_gpu: using CUDA0 backend",
]


def test_a_gpu_is_recognised_by_the_backend_in_use():
    backend = parse_backend(CUDA)
    assert (backend.name, backend.device, backend.accelerated, backend.fell_back) == ("cuda", "CUDA0", True, False)


def test_a_server_without_a_gpu_has_fallen_back_to_the_cpu():
    backend = parse_backend(CPU_BUILD)
    assert (backend.name, backend.accelerated, backend.fell_back) == ("cpu", False, True)


def test_a_gpu_that_cannot_be_initialised_is_a_fallback():
    assert parse_backend([*CUDA, "whisper_backend_init_gpu: failed to initialize CUDA0 backend"]).fell_back


@pytest.mark.parametrize(
    ("device", "loaded", "backend"),
    [("GPU", True, "openvino"), ("GPU", False, "cpu"), ("CPU", True, "cpu")],
)
def test_openvino_counts_once_its_encoder_is_loaded_on_a_gpu(device, loaded, backend):
    lines = [*CPU_BUILD, f"whisper_openvino_init: path_model = a.xml, device = {device}, cache_dir = c"]
    if loaded:
        lines.append("whisper_ctx_init_openvino_encoder_with_state: OpenVINO model loaded")
    assert parse_backend(lines).name == backend


def test_a_cpu_that_was_asked_for_is_no_fallback():
    assert not parse_backend(["whisper_init_with_params_no_state: use gpu    = 0", *CPU_BUILD[1:]]).fell_back


def test_an_accelerated_cpu_library_is_still_the_cpu():
    assert parse_backend([*CPU_BUILD, "whisper_backend_init: using BLAS backend"]) == Backend("CPU", gpu_wanted=True)


@pytest.mark.parametrize(
    ("lines", "stage"),
    [([], "starting"), (CPU_BUILD[:2], "reading the model"), (CPU_BUILD, "preparing the device")],
)
def test_the_stage_is_read_from_what_was_said_so_far(lines, stage):
    assert parse_stage(lines) == stage


def test_the_error_is_found_above_a_long_usage_text():
    lines = ["error: unknown argument: -nc", "", "usage: whisper-server", *(f"  -x{i} N" for i in range(70))]
    assert describe_exit(0, lines) == (
        "whisper-server refused its arguments (exit code 0): error: unknown argument: -nc"
    )


def test_a_killed_server_is_described_by_its_signal():
    assert describe_exit(-9, ["loading"]) == "whisper-server was killed by SIGKILL: loading"


def test_a_server_that_said_nothing_is_described_too():
    assert describe_exit(3, []) == "whisper-server exited with code 3: it said nothing on stderr"
