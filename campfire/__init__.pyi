from campfire.analysis.lines import measure_lines as measure_lines
from campfire.calibration import CalibrationResult as CalibrationResult
from campfire.calibration import StackResult as StackResult
from campfire.calibration import calibrate_and_stack as calibrate_and_stack
from campfire.calibration import calibrate_to_photometry as calibrate_to_photometry
from campfire.calibration import resample_spectrum as resample_spectrum
from campfire.calibration import stack_spectra as stack_spectra
from campfire.calibration import synthetic_photometry as synthetic_photometry
from campfire.client import Campfire as Campfire
from campfire.errors import APIError as APIError
from campfire.errors import AuthenticationError as AuthenticationError
from campfire.errors import CampfireError as CampfireError
from campfire.errors import CampfireWarning as CampfireWarning
from campfire.errors import DownloadError as DownloadError
from campfire.errors import NotFoundError as NotFoundError
from campfire.errors import ValidationError as ValidationError
from campfire.flags import DQFlags as DQFlags
from campfire.flags import FlagQuery as FlagQuery
from campfire.flags import RedshiftQuality as RedshiftQuality
from campfire.flags import decode_flags as decode_flags
from campfire.flags import encode_flags as encode_flags
from campfire.flags import list_flags as list_flags
from campfire.imaging import plot_cutout as plot_cutout
from campfire.linelist import EMISSION_LINES as EMISSION_LINES
from campfire.linelist import get_emission_lines as get_emission_lines
from campfire.models import Band as Band
from campfire.models import Object as Object
from campfire.models import Photometry as Photometry
from campfire.models import Spectrum as Spectrum
from campfire.models import SpectrumCollection as SpectrumCollection
from campfire.models import SpectrumData as SpectrumData
from campfire.plotting.interactive import plot_redshift_fit as plot_redshift_fit
from campfire.plotting.interactive import plot_spectrum as plot_spectrum
from campfire.plotting.interactive import plot_spectrum_simple as plot_spectrum_simple
from campfire.units import convert_flux_units as convert_flux_units

__version__: str
__all__: list[str]
