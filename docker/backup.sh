# Dumps the database that libpq's variables name into $BACKUP_FOLDER, once a day, and keeps the newest $BACKUPS_KEPT.
# `now` makes one and ends, `check` says whether there is one of the last day, and of two hours for it to be late.
set -u
umask 077

recent() {
  find "$BACKUP_FOLDER" -name 'warehouse-*.dump' -mmin "-$1" | grep -q .
}

# A dump gets its name when all of it can be read, which its table of contents alone would not tell; then the warehouse
# is told of it, from which the metrics know. Old ones go only after a new one is there.
dump() {
  begun=$(date -u +%Y-%m-%dT%H%M%SZ)
  file="$BACKUP_FOLDER/warehouse-$begun.dump"
  rm -f "$BACKUP_FOLDER"/warehouse-*.part &&
    pg_dump --format=custom --no-owner --no-privileges --file="$file.part" &&
    pg_restore --file=/dev/null "$file.part" &&
    mv "$file.part" "$file" &&
    psql --no-psqlrc --quiet --command="insert into backups (begun_at, bytes, server_version)
      values ('$begun', $(wc -c < "$file"), current_setting('server_version'))" &&
    ls -l "$file" &&
    find "$BACKUP_FOLDER" -name 'warehouse-*.dump' | sort -r | tail -n "+$((BACKUPS_KEPT + 1))" | xargs -r rm
}

[ "$BACKUPS_KEPT" -ge 1 ] || {
  echo "BACKUPS_KEPT must be a number of at least 1, not $BACKUPS_KEPT" >&2
  exit 1
}
case "${1:-daily}" in
  now) dump ;;
  check) recent 1560 ;;
  daily)
    # By the age of the newest, so that a restart makes none too many, which would push out the older ones.
    while :; do
      recent 1440 || dump || echo "no backup was made, and it is tried again in ten minutes: see above why" >&2
      sleep 600
    done
    ;;
esac
