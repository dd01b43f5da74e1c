-- Layanan pengaduan: one row per complaint. Attachments are files; the row holds their name in the store.
CREATE TABLE complaints (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    name text NOT NULL,
    subject text NOT NULL,
    message text NOT NULL,
    attachment_name text,
    attachment_bytes bigint,
    attachment_sha256 text,
    attachment_file text,
    CHECK ((attachment_file IS NULL) = (attachment_name IS NULL))
);
CREATE INDEX complaints_received_at ON complaints (received_at);
