"""Statement: what the documented client page shows runs as it is written there, and prints what it shows.

Each block restates one of the page, in its order and its own names; they share a namespace, as the cells of a
notebook do, and find the service, the folder and the key in the environment, as a user's do.
"""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from pathlib import Path
from typing import Any

import pytest

BLOCKS: dict[str, str] = {
    "initialization": """
from campfire import Campfire
cf = Campfire(base_url=None, data_dir=None, auto_refresh=True)
cf = Campfire()
print(cf.is_local)
print(cf.last_synced)
remote = cf.query_objects(limit=3, remote=True)
""",
    "sync": """
result = cf.sync()
assert {'observations', 'objects', 'spectra', 'stale_count'} <= set(result)
assert cf.is_local and cf.last_synced
""",
    "download": """
cf.download(observations=['ember_uds_p4'])
cf.download(programs=['EMBER-UDS'], gratings=['PRISM'])
cf.download(fields=['COSMOS'])
cf.download(stale_only=True)
""",
    "staleness": """
result = cf.sync()
if result['stale_count'] > 0:
    print(f"{result['stale_count']} files updated on server")
    cf.download(stale_only=True)
""",
    "query_objects": """
everything = cf.query_objects(
    fields=None, programs=None, gratings=None, observations=None, redshift_range=None, redshift_quality=None,
    max_snr_range=None, dq_flags=None, tags=None, inspected_only=None, staleness=None, has_photometry=None,
    search=None, cone_search=None, limit=None, offset=0, sort='object_id', sort_dir='asc', remote=False,
)
results = cf.query_objects(
    fields=['cosmos'],
    redshift_range=(4.0, 8.0),
    redshift_quality=[3, 4],
    inspected_only=True,
)
lrds = cf.query_objects(tags=['lrd', 'blagn'])
results = cf.query_objects(cone_search=(150.0832, 2.3511, 30.0))
""",
    "query_spectra": """
from campfire.flags import DQFlags

good = cf.query_spectra(
    gratings=['PRISM'],
    inspected_only=True,
    dq_flags=~DQFlags.CONTAMINATION & ~DQFlags.LOW_SNR,
)
spec = cf.open_spectrum(good[0]['spectrum_id'])
for column in ('spectrum_id target_id object_id grating fits_path signal_to_noise exposure_time '
               'reduction_version redshift_auto dq_flags local_path').split():
    good[column]
""",
    "iterators": """
for row in cf.iter_objects(redshift_range=(2.0, 4.0)):
    print(row['object_id'], row['redshift'])
all_lrds = list(cf.iter_objects(tags=['lrd']))
assert len(list(cf.iter_spectra(gratings=['PRISM']))) == len(cf.query_spectra(gratings=['PRISM']))
""",
    "records": """
obj = cf.get_object('ember_uds_p4_123456')
row = cf.get_spectrum('ember_uds_p4_prism_clear_123456')
assert row['spectrum_id'] == 'ember_uds_p4_prism_clear_123456'
assert cf.get_object('nobody') is None and cf.get_spectrum('nobody') is None
tags = cf.get_tags()
tags['slug', 'name', 'member_count']
""",
    "object": """
print(obj)
obj.object_id, obj.field, obj.ra, obj.dec, obj.redshift, obj.redshift_auto, obj.redshift_inspected
obj.redshift_quality, obj.programs, obj.tags, obj.n_spectra, obj.max_snr, obj.max_exposure_time
obj.has_photometry, obj.photo_z, obj.photo_z_err_lo, obj.photo_z_err_hi
""",
    "collection": """
first = obj.spectra[0]
prism = obj.spectra[obj.spectra.grating == 'PRISM']
high_snr = obj.spectra[obj.spectra.signal_to_noise > 10]
obj.spectra.spectrum_id
obj.spectra.signal_to_noise
obj.spectra.gratings
tbl = obj.spectra.to_table()
for s in obj.spectra:
    print(s.spectrum_id, s.grating, s.downloaded)
""",
    "spectrum": """
s = obj.spectra[0]
s.spectrum_id, s.grating, s.signal_to_noise, s.dq_flags, s.downloaded
spec = s.open()
s.plot()
""",
    "photometry": """
phot = obj.photometry
phot.bands, phot.flux, phot.flux_err, phot.wavelength, phot.catalog, phot.photo_z
band = phot['f444w']
band.flux, band.flux_err, band.wavelength
flux, flux_err, wavelength = phot['f444w']
phot.to_table()
""",
    "opening": """
spec = cf.open_spectrum('ember_uds_p4_prism_clear_123456')
print(spec)
import matplotlib.pyplot as plt
spec.plot(flux_unit='fnu')
spec.plot(flux_unit='flam')
plt.step(spec.wavelength, spec.fnu, where='mid')
spec.header.get('EXPTIME')
from campfire import SpectrumData
spec = SpectrumData.from_fits(spec.fits_path)
""",
    "cutouts": """
import matplotlib.pyplot as plt
fig, ax = plt.subplots(figsize=(5, 5))
cf.plot_cutout('ember_uds_p4_123456', fov=3.2, ax=ax)
fig.savefig(folder / 'cutout.pdf')
cf.plot_cutout('ember_uds_p4_123456', fov=3.2, ax=ax, shutter_style={
    "target": {"marker": "corners", "edgecolor": "cyan"},
    "other":  {"marker": "corners", "edgecolor": "white", "linewidth": 0.5},
})
from campfire.imaging import plot_cutout
path = cf.get_cutout('ember_uds_p4_123456', fov=3.2)
data = cf.get_shutters('ember_uds_p4_123456', fov=3.2)
plot_cutout(path, shutters=data, object_id='ember_uds_p4_123456', fov=3.2, ax=ax)
""",
    "calibration": """
from campfire import calibrate_to_photometry
result = calibrate_to_photometry(spec, obj.photometry, method='chebyshev')
result.spectrum, result.original, result.multiplier, result.bands_used
assert len(result.multiplier) == len(result.spectrum.wavelength)
result.plot()
calibrate_to_photometry(prism[0], obj.photometry, method='flat', bands=result.bands_used[:2], min_snr=0.5)
""",
    "stacking": """
from campfire import stack_spectra, calibrate_and_stack, synthetic_photometry
stacked = stack_spectra([s.open() for s in prism], method='weighted_mean', object_id=obj.object_id)
stacked.plot()
result = calibrate_and_stack(
    obj.spectra[obj.spectra.grating == 'PRISM'],
    photometry=obj.photometry,
    method='chebyshev',
    stacking_method='weighted_mean',
    object_id=obj.object_id,
)
result.spectrum, result.calibrations, result.input_spectra
result.plot()
flux, err = synthetic_photometry(spec.wavelength, spec.fnu, spec.fnu_err, 'f444w')
""",
    "plotly": """
from campfire import plot_spectrum, plot_redshift_fit, plot_spectrum_simple
cf = Campfire()
spectrum_id = 'ember_uds_p4_prism_clear_123456'
data = cf.get_spectrum_data(spectrum_id)
fig = plot_spectrum(data, redshift=2.5, show_emission_lines=True)
fit = cf.get_redshift_fit_data(spectrum_id)
fig = plot_redshift_fit(fit, spectrum_data=data)
fig = plot_spectrum_simple(data, redshift=2.5)
assert set(data) >= {'wave', 'fnu', 'fnu_err', 'snr_2d', 'n_spatial', 'n_wave', 'profile', 'profile_fit',
                     'profile_pix'}
assert set(fit) >= {'redshift', 'chi2_min', 'confidence', 'z_grid', 'chi2_grid', 'model_wave', 'model_fnu'}
""",
    "helpers": """
from campfire import convert_flux_units, get_emission_lines, EMISSION_LINES
flambda = convert_flux_units(spec.fnu, spec.wavelength, to_unit='flambda')
lines = get_emission_lines(redshift=2.5, wave_min=1.0, wave_max=5.0)
EMISSION_LINES[0]['name'], EMISSION_LINES[0]['wave'], EMISSION_LINES[0]['color']
""",
    "flags": """
DQFlags.CHIP_GAP | DQFlags.LOW_SNR
DQFlags.CHIP_GAP & DQFlags.LOW_SNR
~DQFlags.CONTAMINATION
results = cf.query_spectra(dq_flags=~DQFlags.CONTAMINATION & ~DQFlags.LOW_SNR)
objects = cf.query_objects(dq_flags=~DQFlags.CONTAMINATION & ~DQFlags.LOW_SNR)
from campfire import list_flags, decode_flags, encode_flags
list_flags()
list_flags('dq_flags')
assert decode_flags(3, 'dq_flags') == ['CHIP_GAP', 'CONTAMINATION']
assert encode_flags(['CHIP_GAP', 'CONTAMINATION'], 'dq_flags') == 3
""",
    "metadata": """
assert set(cf.get_metadata()) == {'programs', 'fields', 'gratings', 'observations'}
assert cf.get_programs().colnames == ['slug', 'program_name', 'pi_name', 'is_public']
assert 'uds' in cf.get_fields() and 'PRISM' in cf.get_gratings() and 'ember_uds_p4' in cf.get_observations()
assert cf.get_tags().colnames == ['slug', 'name', 'member_count']
""",
    "errors": """
from campfire import (CampfireError, AuthenticationError, NotFoundError, DownloadError, ValidationError,
                      APIError)
try:
    obj = cf.get_object('ember_uds_p4_123456')
    if obj is None:
        print("No such object")
    else:
        spec = obj.spectra[0].open()
except AuthenticationError:
    print("Run: campfire login")
except NotFoundError as e:
    print(f"Not found: {e}")
""",
}

PRINTED = {
    "initialization": r"False\nNone\n",
    "object": r"Object\(\S+, z=\d\.\d{4}, uds\)\n  \d+ spectra \([A-Z0-9, ]+\)\n(  tags: .*\n)?"
    r"  Photometry\(\d+ bands, .+, photo_z=\d+\.\d\d\)\n",
    "collection": r"(\S+_\d+ (PRISM|G\d+[MH]) (True|False)\n)+",
    "opening": r"SpectrumData\(ember_uds_p4_prism_clear_123456, PRISM, \d+ pixels, \d\.\d\d-\d\.\d\d μm\)\n",
    "errors": "",
}


@pytest.fixture(scope="module")
def namespace(archive_url: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return {"folder": tmp_path_factory.mktemp("page"), "url": archive_url}


@pytest.mark.filterwarnings("ignore::campfire.CampfireWarning")
@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_of_the_page_runs_unchanged(
    name: str, namespace: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder: Path = namespace["folder"]
    monkeypatch.setenv("CAMPFIRE_API_URL", namespace["url"])
    monkeypatch.setenv("CAMPFIRE_ROOT", str(folder / "campfire"))
    monkeypatch.setenv("CAMPFIRE_API_KEY", "sk_live_any")
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), warnings.catch_warnings():
        exec(compile(BLOCKS[name], name, "exec"), namespace)
    if name in PRINTED:
        assert re.fullmatch(PRINTED[name], shown.getvalue()), shown.getvalue()
