CREATE TABLE IF NOT EXISTS users (
    id            TEXT PRIMARY KEY,
    email         TEXT UNIQUE COLLATE NOCASE,
    full_name     TEXT,
    is_admin      INTEGER NOT NULL DEFAULT 0,
    password_hash TEXT,
    created_at    REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS grants (
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    program TEXT NOT NULL,
    PRIMARY KEY (user_id, program)
);
CREATE TABLE IF NOT EXISTS api_keys (
    key_hash   TEXT PRIMARY KEY,
    user_id    TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    prefix     TEXT NOT NULL,
    name       TEXT NOT NULL,
    created_at REAL NOT NULL,
    expires_at REAL
);
CREATE TABLE IF NOT EXISTS device_codes (
    code_hash  TEXT PRIMARY KEY,
    user_code  TEXT NOT NULL UNIQUE,
    state      TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'approved', 'denied', 'consumed')),
    user_id    TEXT REFERENCES users (id) ON DELETE CASCADE,
    created_at REAL NOT NULL,
    expires_at REAL NOT NULL,
    interval   INTEGER NOT NULL,
    polled_at  REAL
);
CREATE TABLE IF NOT EXISTS refresh_tokens (
    token_hash  TEXT PRIMARY KEY,
    user_id     TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    device_name TEXT,
    created_at  REAL NOT NULL,
    expires_at  REAL NOT NULL
);
