"""Bundles: what goes in comes out under the same key, and what a stranger put in does not."""

import dataclasses
import json
import lzma
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Structure

from defect_surrogate.archive import Archive, reindex
from defect_surrogate.archive.bundle import pack, unpack
from defect_surrogate.archive.records import manifest_digest
from defect_surrogate.errors import ArchiveError, InputError
from defect_surrogate.relaxation import Frame, Provenance, Relaxation, Unit


def unit_of(structure, label="Dimer", seed=1):
    """A start whose coordinates have all their digits."""
    start = structure.copy().perturb(0.1, seed=seed)
    return Unit("Cd4Te4", "v_Cd_0", label, "reference", start, "method")


def relaxation(structure, energy=-12.3456789, frames=3, **changes):
    rng = np.random.default_rng(1)
    stress = rng.normal(size=(3, 3))
    images = tuple(
        Frame(structure.copy().perturb(0.05), energy + i, rng.normal(size=(len(structure), 3)), stress + stress.T)
        for i in reversed(range(frames))
    )
    provenance = Provenance("GFN1-xTB (stand-in)", "method", 1.5, 3, (("tblite", "0.8.0"),), ("POTIM 0.5 → 0.25",))
    content = {"steps": 2, "converged": True, "reason": "converged", "detail": "", "frames": images} | changes
    return Relaxation(level="reference", structure=structure, energy=energy, provenance=provenance, **content)


@pytest.fixture
def unit(cluster_crystal):
    return unit_of(cluster_crystal)


@pytest.fixture(scope="module")
def made(tmp_path_factory, cluster_crystal):
    """An archive of two units, one with calculation files, one that diverged without a frame; and its bundle."""
    folder = tmp_path_factory.mktemp("made")
    archive, unit = Archive(folder / "archive"), unit_of(cluster_crystal)
    (folder / "calculation").mkdir()
    (folder / "calculation" / "OUTCAR").write_text("vasp")
    archive.publish(unit, relaxation(unit.structure), files=folder / "calculation")
    nan = float("nan")
    diverged = relaxation(cluster_crystal, energy=nan, frames=0, converged=False, reason="diverged")
    archive.publish(unit_of(cluster_crystal, "Rattled", seed=2), diverged)
    pack(archive, folder / "bundle.tar.xz")
    return folder


@pytest.fixture
def source(tmp_path, made):
    shutil.copytree(made / "archive", tmp_path / "source")
    return Archive(tmp_path / "source")


@pytest.fixture
def bundle(tmp_path, made):
    return shutil.copy(made / "bundle.tar.xz", tmp_path / "bundle.tar.xz")


@pytest.fixture
def target(tmp_path):
    return Archive(tmp_path / "target")


def members(path):
    with tarfile.open(path, "r:xz") as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}


def write(path, contents, **changes):
    """Write a bundle with a changed last member."""
    with tarfile.open(path, "w:xz", preset=0) as tar:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            if name == list(contents)[-1]:
                for attribute, value in changes.items():
                    setattr(member, attribute, value)
            tar.addfile(member, BytesIO(content))


def tampered(bundle, label, change, *, seal=True):
    """Change ``unit.json`` of a unit in a bundle, and give it the digest that belongs to it."""
    contents = members(bundle)
    (name,) = (name for name in contents if f"/{label}/" in name and name.endswith("unit.json"))
    content = json.loads(contents[name])
    if seal:
        del content["digest"]
    change(content)
    contents[name] = json.dumps(content | ({"digest": manifest_digest(content)} if seal else {})).encode()
    write(bundle, contents)


def is_empty(archive):
    return not any((archive.root / "units").iterdir()) and not any((archive.root / "attempts").iterdir())


def test_units_are_found_under_the_same_key(source, bundle, target, unit):
    assert dataclasses.astuple(unpack(bundle, target)) == (2, 0, (), ())
    found, original = target.find(unit), source.find(unit)
    assert found == original
    assert found.provenance.seconds == 1.5
    for name in ("start", "relaxed"):
        before, after = (
            Structure.from_dict(json.loads((archive.path(unit) / "unit.json").read_text())[name])
            for archive in (source, target)
        )
        assert np.array_equal(before.frac_coords, after.frac_coords)
        assert np.array_equal(before.lattice.matrix, after.lattice.matrix)
        assert before.species == after.species
    assert [record.key for record in target.records()] == [record.key for record in source.records()]
    assert reindex(target) == 2
    assert {path.name for path in target.path(unit).iterdir()} == {"unit.json", "frames.extxyz"}
    assert json.loads((target.path(unit) / "unit.json").read_text())["bundled"]["files_left_out"] == ["files/OUTCAR"]


def test_a_diverged_unit_without_energy_comes_through(bundle, target, cluster_crystal):
    unpack(bundle, target)
    diverged = unit_of(cluster_crystal, "Rattled", seed=2)
    assert np.isnan(target.find(diverged).energy)
    assert target.read_frames(diverged) == ()
    assert dataclasses.astuple(unpack(bundle, target)) == (0, 2, (), ())


def test_frames_keep_first_and_last_evenly_at_1e6(tmp_path, source, target, unit):
    unit = dataclasses.replace(unit, label="Bond_Distortion_-30.0%")
    source.publish(unit, relaxation(unit.structure, frames=55))
    every = source.read_frames(unit)
    pack(source, tmp_path / "ten.tar.xz")
    unpack(tmp_path / "ten.tar.xz", target)
    note = json.loads((target.path(unit) / "unit.json").read_text())["bundled"]
    assert note["frames_kept"] == [0, 6, 12, 18, 24, 30, 36, 42, 48, 54]
    assert note["frames"] == 55
    for i, frame in zip(note["frames_kept"], target.read_frames(unit), strict=True):
        assert frame.energy == pytest.approx(every[i].energy, abs=1e-8)
        np.testing.assert_allclose(frame.structure.cart_coords, every[i].structure.cart_coords, atol=5.1e-7)
        np.testing.assert_allclose(frame.forces, every[i].forces, atol=5.1e-7)
        np.testing.assert_allclose(frame.stress, every[i].stress, atol=1e-8)
    pack(target, tmp_path / "three.tar.xz", frames=3)
    again = Archive(tmp_path / "again")
    unpack(tmp_path / "three.tar.xz", again)
    note = json.loads((again.path(unit) / "unit.json").read_text())["bundled"]
    assert (note["frames"], note["frames_kept"]) == (55, [0, 24, 54])


def test_forces_of_a_broken_step_do_not_run_into_each_other(tmp_path, source, target, unit):
    unit = dataclasses.replace(unit, label="Bond_Distortion_60.0%")
    huge = Frame(unit.structure, 1e9, np.full((len(unit.structure), 3), -123456.789), None)
    source.publish(unit, dataclasses.replace(relaxation(unit.structure), frames=(huge,)))
    pack(source, tmp_path / "b.tar.xz")
    unpack(tmp_path / "b.tar.xz", target)
    (frame,) = target.read_frames(unit)
    assert np.all(frame.forces == -123456.789)
    assert frame.stress is None


def test_the_same_content_gives_the_same_bytes(tmp_path, source, bundle):
    pack(source, tmp_path / "again.tar.xz")
    assert (tmp_path / "again.tar.xz").read_bytes() == bundle.read_bytes()


def test_plain_tar_lists_it(bundle):
    listed = subprocess.run(["tar", "-tf", bundle], capture_output=True, text=True, check=True).stdout.split()
    assert listed[0] == "bundle.json"
    assert listed[1].startswith("units/Cd4Te4/v_Cd_0/Dimer/reference/")
    assert len(listed) == 5


def test_what_is_there_is_kept(bundle, target, unit):
    target.publish(unit, relaxation(unit.structure, energy=-99.0))
    assert dataclasses.astuple(unpack(bundle, target)) == (1, 1, (unit.name,), ())
    assert target.find(unit).energy == -99.0


def test_a_unit_that_another_process_published_meanwhile_is_kept(bundle, target, unit, monkeypatch):
    target.publish(unit, relaxation(unit.structure, energy=-99.0))
    with monkeypatch.context() as patch:
        patch.setattr(Archive, "find", lambda *_: None)
        assert dataclasses.astuple(unpack(bundle, target)) == (1, 1, (), ())
    assert target.find(unit).energy == -99.0
    assert list((target.root / "attempts").iterdir()) == []


def test_a_damaged_unit_is_replaced_and_a_failure_forgotten(bundle, target, unit):
    target.publish(unit, relaxation(unit.structure))
    (target.path(unit) / "frames.extxyz").unlink()
    target.record_failure(unit, RuntimeError("node lost"))
    assert unpack(bundle, target).imported == 2
    assert target.find(unit).converged
    assert target.failures() == ()


def test_a_unit_that_could_not_be_found_again_is_not_packed(tmp_path, source, unit):
    odd = dataclasses.replace(unit, label="Odd", method="not that of its provenance")
    source.publish(odd, relaxation(odd.structure))
    with pytest.raises(ArchiveError, match=f"Odd.*cannot be packed.*key {odd.key}"):
        pack(source, tmp_path / "b.tar.xz")
    assert not (tmp_path / "b.tar.xz").exists()


def test_nothing_to_pack_is_said(tmp_path, target, source):
    with pytest.raises(InputError, match="no finished unit"):
        pack(target, tmp_path / "b.tar.xz")
    with pytest.raises(InputError, match="frames=1"):
        pack(source, tmp_path / "b.tar.xz", frames=1)
    assert not (tmp_path / "b.tar.xz").exists()


def _move_an_atom(content):
    content["start"]["sites"][0]["abc"][0] += 1e-6


@pytest.mark.parametrize(
    ("change", "seal", "reason"),
    [
        (lambda content: content.update(energy=-92.0), False, "does not match its digest"),
        (_move_an_atom, True, "but level, start and method give"),
        (lambda content: content["provenance"].update(method="tighter"), True, "but level, start and method give"),
        (lambda content: content.update(name="Cd4Te4/v_Cd_0/Other/reference"), True, "holds Cd4Te4/v_Cd_0/Other"),
        (lambda content: content.update(schema_version=99), True, "schema version 99, this software reads 1"),
        (lambda content: content.update(reason="time limit"), True, "not its result"),
        (lambda content: content.update(reason="luck"), True, "unknown level, or reason 'luck'"),
        (lambda content: content["files"].update({"/dev/zero": {"bytes": 0, "sha256": ""}}), True, "other files"),
        (lambda content: content["start"].update({"@module": "os"}), True, "more than a lattice and sites"),
        (lambda content: content["bundled"].update(frames_kept=[0]), True, "has 3 frames"),
        (lambda content: content.pop("relaxed"), True, "KeyError: 'relaxed'"),
    ],
)
def test_a_tampered_unit_is_refused_and_named_and_the_others_come_in(bundle, target, unit, change, seal, reason):
    tampered(bundle, "Dimer", change, seal=seal)
    result = unpack(bundle, target)
    assert (result.imported, result.present) == (1, 0)
    (refused,) = result.refused
    assert refused.startswith(f"{bundle}: units/{unit.name}/{unit.key[:16]}: ")
    assert reason in refused
    assert target.find(unit) is None


def test_tampered_frames_are_refused(bundle, target, unit):
    contents = members(bundle)
    name = f"units/{unit.name}/{unit.key[:16]}/frames.extxyz"
    contents[name] = contents[name].replace(b"Te", b"Se", 1)
    write(bundle, contents)
    (refused,) = unpack(bundle, target).refused
    assert "frames.extxyz does not match its digest" in refused


@pytest.mark.parametrize(
    "name", ["../../evil", "/etc/evil", "units/../../evil", "units//x", "zzz/./x", "units/stranger"]
)
def test_a_member_that_is_not_of_a_unit_is_refused(bundle, target, name):
    write(bundle, members(bundle) | {name: b"evil"})
    with pytest.raises(InputError, match=str(bundle)) as refusal:
        unpack(bundle, target)
    assert repr(name) in str(refusal.value)
    assert is_empty(target)


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE], ids=str
)
def test_links_and_devices_are_refused(bundle, target, kind):
    write(bundle, members(bundle) | {"zzz": b""}, type=kind, linkname="/etc/passwd")
    with pytest.raises(InputError, match="'zzz': is not a plain file"):
        unpack(bundle, target)
    assert is_empty(target)


def test_a_repeated_unit_is_refused(bundle, target):
    with tarfile.open(bundle, "r:xz") as tar:
        every = [(member, tar.extractfile(member).read()) for member in tar]
    with tarfile.open(bundle, "w:xz", preset=0) as tar:
        for member, content in [*every, *every[-2:]]:
            tar.addfile(member, BytesIO(content))
    with pytest.raises(InputError, match="not in order, or repeated"):
        unpack(bundle, target)
    assert is_empty(target)


def test_a_bundle_without_its_last_unit_is_refused(bundle, target):
    contents = members(bundle)
    write(bundle, dict(list(contents.items())[:-2]))
    with pytest.raises(InputError, match="says 2 units, but there are 1"):
        unpack(bundle, target)
    assert is_empty(target)


def test_other_files_and_other_versions_are_told(tmp_path, bundle, target):
    for content in (b"", b"hello", lzma.compress(b"hello")):
        (tmp_path / "other").write_bytes(content)
        with pytest.raises(InputError, match=r"damaged or no \.tar\.xz"):
            unpack(tmp_path / "other", target)
    with pytest.raises(InputError, match="No such file"):
        unpack(tmp_path / "missing", target)
    write(bundle, {"holiday.jpg": b""})
    with pytest.raises(InputError, match="no bundle: its first member is 'holiday.jpg'"):
        unpack(bundle, target)
    write(bundle, {"bundle.json": b'{"bundle_version": 2, "units": 0}'})
    with pytest.raises(InputError, match="bundle version 2, this software reads 1"):
        unpack(bundle, target)


@pytest.mark.parametrize("share", [0.02, 0.5, 0.9, 0.999])
def test_a_truncated_bundle_publishes_nothing(bundle, target, share):
    whole = bundle.read_bytes()
    bundle.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(InputError, match=f"{bundle}: damaged"):
        unpack(bundle, target)
    assert is_empty(target)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_damage_is_published_or_escapes(data, tmp_path_factory, whole_bundle):
    """Of the tar inside an intact xz stream, since xz sees what happens to itself."""
    content = bytearray(whole_bundle)
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "bundle.tar.xz").write_bytes(lzma.compress(bytes(content), preset=0))
    target = Archive(folder / "archive")
    try:
        result = unpack(folder / "bundle.tar.xz", target)
    except InputError:
        assert is_empty(target)
    else:
        assert result.imported + len(result.refused) == 2
        assert len(list(target.records())) == result.imported


@pytest.fixture(scope="module")
def whole_bundle(tmp_path_factory, cluster_crystal):
    folder = tmp_path_factory.mktemp("whole")
    archive = Archive(folder / "archive")
    for label in ("Dimer", "Rattled"):
        unit = unit_of(cluster_crystal, label)
        archive.publish(unit, relaxation(unit.structure))
    pack(archive, folder / "bundle.tar.xz")
    return lzma.decompress((folder / "bundle.tar.xz").read_bytes())


@pytest.mark.parametrize("where", ["member", "header", "sum", "after"])
def test_a_decompression_bomb_is_refused_before_it_fills_the_memory(bundle, target, monkeypatch, where):
    monkeypatch.setattr("defect_surrogate.archive.tarball.MOST_MEMBER_BYTES", 2_000_000)
    monkeypatch.setattr("defect_surrogate.archive.tarball.MOST_BYTES", 8_000_000)
    contents = members(bundle)
    if where == "member":
        write(bundle, contents | {"zzz": bytes(3_000_000)})
    elif where == "header":
        write(bundle, contents | {"zzz": b""}, pax_headers={"comment": "0" * 3_000_000})
    elif where == "sum":
        write(bundle, contents | {f"units/a/b/c/{i}/{'0' * 16}/frames.extxyz": bytes(1_900_000) for i in range(6)})
    else:
        bundle.write_bytes(lzma.compress(lzma.decompress(bundle.read_bytes()) + bytes(9_000_000)))
    with pytest.raises(InputError, match=f"{bundle}: .*(has 3000000 bytes|holds more than|not the two files)"):
        unpack(bundle, target)
    assert is_empty(target)


@pytest.fixture(scope="module")
def many(tmp_path_factory, cluster_crystal):
    """A bundle of twenty units."""
    folder = tmp_path_factory.mktemp("many")
    archive = Archive(folder / "archive")
    for i in range(20):
        unit = unit_of(cluster_crystal, f"Bond_Distortion_{i}%", seed=i)
        archive.publish(unit, relaxation(unit.structure, frames=12))
    pack(archive, folder / "bundle.tar.xz")
    return folder / "bundle.tar.xz"


FULL_DISK = """
import subprocess, sys
from pathlib import Path
from defect_surrogate.archive import Archive
from defect_surrogate.archive.bundle import pack, unpack
from defect_surrogate.errors import ArchiveError
folder, bundle = Path(sys.argv[1]), Path(sys.argv[2])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(folder / "small")], check=True)
(folder / "small" / "ballast").write_bytes(bytes(150_000))
archive = Archive(folder / "small" / "archive")
try:
    unpack(bundle, archive)
except ArchiveError as error:
    print(error)
print(len(list(archive.records())) < 20, len(list((archive.root / "attempts").iterdir())))
try:
    pack(Archive(bundle.parent / "archive"), folder / "small" / "other.tar.xz")
except ArchiveError as error:
    print(error)
print(sorted(path.name for path in (folder / "small").iterdir()))
"""


def test_a_full_disk_leaves_whole_units_only(many, tmp_path):
    """A file system of 200 kB, in a mount namespace of its own."""
    (tmp_path / "small").mkdir()
    namespace = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
    command = [*namespace, sys.executable, "-c", FULL_DISK, str(tmp_path), str(many)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    refusal, left, unwritten, files = done.stdout.splitlines()
    assert f"{many}: units/Cd4Te4/v_Cd_0/" in refusal
    assert "No space left on device" in refusal
    assert left == "True 0"
    assert "other.tar.xz: cannot be written" in unwritten
    assert files == "['archive', 'ballast']"


IMPORTER = """
import sys
from pathlib import Path
from defect_surrogate.archive import Archive
from defect_surrogate.archive.bundle import unpack
print("ready", flush=True)
unpack(Path(sys.argv[1]), Archive(Path(sys.argv[2])))
"""


def test_kill_9_in_an_import_leaves_whole_units_and_the_next_completes_it(many, target):
    command = [sys.executable, "-c", IMPORTER, str(many), str(target.root)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    while len(list((target.root / "units").glob("*/*/*/*/*"))) < 3:
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    published = len(list((target.root / "units").glob("*/*/*/*/*")))
    assert len(list(target.records())) == published < 20
    assert dataclasses.astuple(unpack(many, target)) == (20 - published, published, (), ())
    assert list((target.root / "attempts").iterdir()) == []
    assert list((target.root / "rejected").iterdir()) == []


def test_an_archive_that_cannot_be_read_is_told(bundle, target, unit):
    unpack(bundle, target)
    path = target.path(unit) / "unit.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema_version": 99}))
    with pytest.raises(ArchiveError, match="schema version 99"):
        unpack(bundle, target)
