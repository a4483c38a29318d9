# Runs in the machine as an injected unit. Answers one line at a time on a virtio-serial port (its path is $1):
#   HELLO id                     -> READY id
#   RUN id seconds base64(argv)  -> OUT id base64, ERR id base64 (any number of each), END id exit-code
# argv is separated by NUL bytes. Reading says "end of file" as long as nobody is connected at the other end.
umask 077
exec 9<> <(:)
# A pause without a process.
pause() { read -rt 0.3 -u 9; }
until [ -c "$1" ]; do pause; done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
exec 3<>"$1"
while :; do
  if ! IFS= read -r line <&3; then
    pause
    continue
  fi
  read -r verb id limit argv <<<"$line"
  case $verb in
  HELLO) printf 'READY %s\n' "$id" >&3 ;;
  RUN)
    mapfile -d '' -t words < <(base64 -d <<<"$argv")
    timeout -k 2 "$limit" "${words[@]}" >"$work/out" 2>"$work/err" </dev/null 3>&- 9>&-
    code=$?
    {
      base64 -w 4096 "$work/out" | sed "s/^/OUT $id /"
      base64 -w 4096 "$work/err" | sed "s/^/ERR $id /"
      printf 'END %s %s\n' "$id" "$code"
    } >&3
    ;;
  esac
done
