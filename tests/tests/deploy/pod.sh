# Becomes one container of a pod: a root file system of its own that is read-only, volumes, no rights.
#
#   ROOT      an empty folder
#   HOSTS     the file for /etc/hosts
#   PROGRAM   the program of the image, and where the image has it: FILE:PATH
#   VOLUMES   lines of FOLDER:PATH:ro or :rw
#   IDENTITY  user:group
#   the arguments are the command
set -euo pipefail
mount --make-rprivate /
mount -t tmpfs -o mode=755 pod "$ROOT"
mkdir "$ROOT/usr" "$ROOT/etc" "$ROOT/dev" "$ROOT/proc"
cp --no-dereference /bin /lib /lib64 /sbin "$ROOT/"
mount --bind /usr "$ROOT/usr"
mount -o remount,bind,ro "$ROOT/usr"
mount --bind /dev "$ROOT/dev"
mount -t proc proc "$ROOT/proc"
echo 'hosts: files' >"$ROOT/etc/nsswitch.conf"
touch "$ROOT/etc/hosts"
mount --bind "$HOSTS" "$ROOT/etc/hosts"
if [[ -n ${PROGRAM:-} ]]; then
    touch "$ROOT${PROGRAM##*:}"
    mount --bind "${PROGRAM%:*}" "$ROOT${PROGRAM##*:}"
fi
while IFS=: read -r folder path mode; do
    [[ -n $folder ]] || continue
    mkdir -p "$ROOT$path"
    mount --bind "$folder" "$ROOT$path"
    mount -o "remount,bind,$mode" "$ROOT$path"
done <<<"$VOLUMES"
mount -o remount,ro "$ROOT"
identity=$IDENTITY root=$ROOT
unset ROOT HOSTS PROGRAM VOLUMES IDENTITY OLDPWD PWD SHLVL _
exec setpriv --no-new-privs chroot --userspec="$identity" --groups="${identity#*:}" "$root" "$@"
