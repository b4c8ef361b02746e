-- Schema 1 of the catalogue. Lists of names are joined with ';'. Times are the texts the service sends.
-- Columns marked (derived) are recomputed by the writer when a transaction ends.

CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;

CREATE TABLE programs (
    slug TEXT PRIMARY KEY,
    program_name TEXT,
    pi_name TEXT,
    is_public INTEGER,
    jwst_program TEXT               -- JWST programme numbers, ';'-joined
) WITHOUT ROWID;

CREATE TABLE observations (
    observation TEXT NOT NULL,
    program_slug TEXT NOT NULL,
    field TEXT NOT NULL,
    details TEXT NOT NULL,          -- JSON: everything else the service says of it
    PRIMARY KEY (observation, program_slug, field)
) WITHOUT ROWID;

CREATE TABLE objects (
    id INTEGER PRIMARY KEY,
    object_id TEXT NOT NULL UNIQUE,
    field TEXT NOT NULL,
    ra REAL NOT NULL,               -- degrees, 0 <= ra < 360
    dec REAL NOT NULL,
    zone INTEGER NOT NULL,          -- declination strip, see sql.zone_of
    ux REAL NOT NULL,               -- Cartesian unit vector
    uy REAL NOT NULL,
    uz REAL NOT NULL,
    n_targets INTEGER NOT NULL,
    n_spectra INTEGER NOT NULL,
    programs TEXT NOT NULL,
    gratings TEXT NOT NULL,
    max_snr REAL,
    max_exposure_time REAL,
    redshift REAL,
    redshift_quality INTEGER NOT NULL,
    redshift_inspected REAL,
    redshift_auto REAL,
    inspected_used_auto INTEGER NOT NULL,
    last_inspected_at TEXT,
    last_inspected_by TEXT,
    last_data_change_at TEXT,
    staleness_reason TEXT,
    stale INTEGER NOT NULL,         -- data changed after the last inspection
    version INTEGER NOT NULL,
    created_at TEXT,
    updated_at TEXT,
    observations TEXT NOT NULL DEFAULT '',       -- (derived) from spectra
    member_target_ids TEXT NOT NULL DEFAULT '',  -- (derived) from targets
    tags TEXT NOT NULL DEFAULT '',               -- (derived) from memberships
    dq_flags INTEGER NOT NULL DEFAULT 0,         -- (derived) OR over spectra
    has_photometry INTEGER NOT NULL DEFAULT 0,   -- (derived) from photometry, as are the next three
    photo_z REAL,
    photo_z_err_lo REAL,
    photo_z_err_hi REAL
);
CREATE INDEX objects_position ON objects (zone, ra);
CREATE INDEX objects_redshift ON objects (redshift_quality, redshift);
CREATE INDEX objects_field ON objects (field COLLATE NOCASE);

CREATE TABLE object_names (         -- programs and gratings of objects, one row each
    kind TEXT NOT NULL,
    name TEXT NOT NULL COLLATE NOCASE,
    object_pk INTEGER NOT NULL,
    PRIMARY KEY (kind, name, object_pk)
) WITHOUT ROWID;
CREATE INDEX object_names_object ON object_names (object_pk);

CREATE TABLE targets (              -- which target is which object: spectra are linked through here
    target_id TEXT PRIMARY KEY,
    object_pk INTEGER,
    ra REAL,
    dec REAL,
    program_slug TEXT,
    observation TEXT,
    field TEXT,
    source_id INTEGER,
    redshift_auto REAL,
    created_at TEXT,
    updated_at TEXT
) WITHOUT ROWID;
CREATE INDEX targets_object ON targets (object_pk);

CREATE TABLE spectra (
    id INTEGER PRIMARY KEY,
    spectrum_id TEXT NOT NULL UNIQUE,
    target_id TEXT NOT NULL,
    object_pk INTEGER,              -- (derived) from targets
    grating TEXT NOT NULL,
    fits_path TEXT NOT NULL,
    file_hash TEXT,
    file_size INTEGER,
    signal_to_noise REAL,
    exposure_time REAL,
    reduction_version TEXT,
    redshift_auto REAL,
    dq_flags INTEGER NOT NULL,
    program_slug TEXT NOT NULL,
    observation TEXT NOT NULL,
    field TEXT NOT NULL,
    created_at TEXT,
    updated_at TEXT
);
CREATE INDEX spectra_target ON spectra (target_id, grating);
CREATE INDEX spectra_object ON spectra (object_pk);
CREATE INDEX spectra_observation ON spectra (observation COLLATE NOCASE);
CREATE INDEX spectra_path ON spectra (fits_path);

CREATE TABLE photometry (
    id INTEGER PRIMARY KEY,
    object_pk INTEGER,
    object_id TEXT NOT NULL,        -- as sent; may be an object's former name
    field TEXT,
    catalog_name TEXT,
    catalog_id TEXT,
    match_distance_arcsec REAL,
    photometry TEXT NOT NULL,       -- JSON
    photo_z REAL,
    photo_z_err_lo REAL,
    photo_z_err_hi REAL,
    has_pz INTEGER NOT NULL,
    created_at TEXT,
    updated_at TEXT
);
CREATE INDEX photometry_object ON photometry (object_pk);

CREATE TABLE tags (
    id INTEGER PRIMARY KEY,
    slug TEXT NOT NULL UNIQUE COLLATE NOCASE,
    name TEXT,
    description TEXT,
    visibility TEXT NOT NULL,       -- private, public_read or public_edit
    is_system INTEGER NOT NULL,
    created_by TEXT,                -- owner
    color TEXT,
    icon TEXT,
    member_count INTEGER,           -- as the service counts; NULL: count the memberships
    created_at TEXT,
    updated_at TEXT
);
CREATE TABLE memberships (
    tag_id INTEGER NOT NULL,
    object_pk INTEGER NOT NULL,
    PRIMARY KEY (tag_id, object_pk)
) WITHOUT ROWID;
CREATE INDEX memberships_object ON memberships (object_pk);

CREATE TABLE shutters (             -- only in archives that are served
    target_id TEXT NOT NULL,
    source_id INTEGER NOT NULL,
    center_ra REAL NOT NULL,
    center_dec REAL NOT NULL,
    position_angle REAL NOT NULL,
    shutter_idx INTEGER NOT NULL,
    dither_id INTEGER NOT NULL,
    shutter_state TEXT NOT NULL,
    observation TEXT NOT NULL,
    field TEXT NOT NULL
);
CREATE INDEX shutters_position ON shutters (field, center_dec);
CREATE INDEX shutters_observation ON shutters (observation);

CREATE TABLE local_files (          -- files we know on this disk; outlives every sync
    spectrum_id TEXT PRIMARY KEY,
    path TEXT NOT NULL,             -- below products/, with /
    hash TEXT NOT NULL,
    size INTEGER NOT NULL,
    mtime REAL NOT NULL,
    origin TEXT NOT NULL,           -- 'download': written by us; 'found': somebody else's
    recorded_at TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE packed (               -- result columns of whole tables as arrays, see packed.py
    table_name TEXT NOT NULL,
    block INTEGER NOT NULL,
    layout TEXT NOT NULL,           -- JSON: names and dtypes of the columns
    data BLOB NOT NULL,
    PRIMARY KEY (table_name, block)
);

CREATE TABLE sync_log (
    id INTEGER PRIMARY KEY,
    started_at TEXT NOT NULL,
    completed_at TEXT NOT NULL,
    incremental INTEGER NOT NULL,
    result TEXT NOT NULL            -- JSON
);
