# Debian packages in a folder of one's own: they are downloaded and unpacked, not installed. It needs no
# root and leaves the host as it was. The labs source this, and set `lab` to their name.
# shellcheck shell=bash

say() { echo "${lab:?}: $*" >&2; }
# 77 is what test drivers take for "skipped".
skip() { say "skipped: $*"; exit 77; }
broken() { say "$*"; exit 125; }

# Skips where packages cannot be had at all.
need_debian() {
    local tool
    for tool in apt-get dpkg-deb flock sha256sum tar; do
        [ -n "$(type -P "$tool")" ] || skip "it needs $tool, which Debian has"
    done
}

# apt DIR ARG…: apt-get with lists and a cache of its own in DIR, and the options in `apt_options`.
apt_options=()
apt() {
    mkdir -p "$1/lists/partial" "$1/cache/archives/partial"
    apt-get -qq -o Dir::State="$1" -o Dir::State::status=/var/lib/dpkg/status -o Dir::Cache="$1/cache" \
        -o APT::Sandbox::User="$(id -un)" -o Acquire::Retries=3 "${apt_options[@]}" "${@:2}"
}

# packages DIR PACKAGE…: unpacks the packages that the host lacks, with all they depend on, into DIR/root.
# With `always=1` the named ones are unpacked even if the host has them, so that they have a known place.
packages() {
    local dir=$1 deb missing options=()
    shift
    [ -z "${always:-}" ] || options=(--reinstall)
    say "fetching the lists of Debian's packages"
    apt "$dir/apt" update || skip "apt-get update failed"
    apt "$dir/apt" --yes --no-install-recommends "${options[@]}" --print-uris install "$@" >"$dir/uris" ||
        skip "apt does not know all of these packages: $*"
    # A line is: 'URI' NAME_VERSION_ARCHITECTURE.deb SIZE HASH
    mapfile -t missing < <(cut -d' ' -f2 "$dir/uris" | cut -d_ -f1)
    download "$dir" "${missing[@]}"
    for deb in "$dir"/debs/*.deb; do
        unpack "$deb" "$dir/root"
    done
    keep_links_inside "$dir/root"
    check_links "$dir/root"
    check_libraries "$dir/root"
    rm -rf "$dir/debs" "$dir/apt" "$dir/uris"
    say "unpacked $(du -sh "$dir/root" | cut -f1)"
}

# download DIR PACKAGE…: the .deb files of these packages alone, into DIR/debs.
download() {
    local dir=$1
    shift
    say "downloading $# packages into ${dir#"$PWD"/}"
    mkdir -p "$dir/debs"
    (cd "$dir/debs" && apt "$dir/apt" download "$@") || skip "apt-get download failed"
}

# unpack DEB ROOT
unpack() {
    local name
    for name in bin sbin lib lib64; do
        mkdir -p "$2/usr/$name"
        # Debian's root has had these links since 12; packages still have files on both sides.
        ln -sfn "usr/$name" "$2/$name"
    done
    dpkg-deb --fsys-tarfile "$1" | tar -x -C "$2" --no-same-owner --keep-directory-symlink \
        --exclude='./usr/share/doc' --exclude='./usr/share/man' --exclude='./usr/share/locale' ||
        broken "$(basename "$1") cannot be unpacked"
}

# Packages have links such as /usr/sbin/insmod -> /bin/kmod. Unpacked elsewhere, they lead to the
# host's file, which may not exist. A relative link leads to the package's file from everywhere.
keep_links_inside() {
    local link
    find "$1" -type l -lname '/*' -print0 | while IFS= read -r -d '' link; do
        ln -sfnr "$1$(readlink "$link")" "$link"
    done
}

# Fails if a link below $1 leads out of it, or to a file that neither the packages nor the host have.
check_links() {
    local link end failed=
    while IFS= read -r -d '' link; do
        end=$(realpath -m "$link")
        case $end in
            "$1"/*) [ -e "$end" ] || [ -e "${end#"$1"}" ] || failed+="
    ${link#"$1"} -> $(readlink "$link"), which is in no package" ;;
            *) failed+="
    ${link#"$1"} -> $(readlink "$link"), which leads out to $end" ;;
        esac
    done < <(find "$1" -type l -print0)
    [ -z "$failed" ] || broken "links of the packages lead nowhere:$failed"
}

# Fails if a program below $1 needs a library that neither the packages nor the host have.
check_libraries() {
    local file lost libraries failed=
    libraries=$(echo "$1"/usr/lib/*-linux-gnu | tr ' ' ':')
    for file in "$1"/usr/{bin,sbin}/*; do
        # ldd fails for a script.
        lost=$( (LD_LIBRARY_PATH=$libraries ldd "$file" 2>/dev/null || true) |
            sed -n 's/^[[:space:]]*\(.*\) => not found/ \1/p' | tr -d '\n')
        [ -z "$lost" ] || failed+="
    ${file#"$1"} needs$lost"
    done
    [ -z "$failed" ] || broken "libraries of the packages' programs are missing:$failed"
}

# part CACHE NAME INGREDIENTS: sets `part` to the folder CACHE/NAME-KEY, and has `build_NAME FOLDER` fill
# it unless that was done. KEY changes with what it is made of: these functions, INGREDIENTS, the host.
# It is used under a shared lock, the descriptor `part_lock`, that lasts as long as this process; who
# builds it has it alone.
part() {
    local cache=$1 name=$2 key status=0
    { mkdir -p "$cache" && exec {part_lock}>"$cache/$name.lock"; } 2>/dev/null || skip "$cache cannot be written to"
    key=$({
        declare -f "build_$name" packages download unpack keep_links_inside check_links check_libraries
        echo "$cache $3"
        uname -m
        cat /etc/os-release
    } | sha256sum | cut -c1-16)
    part=$cache/$name-$key
    flock -s "$part_lock"
    [ ! -e "$part/complete" ] || return 0
    flock -x "$part_lock"
    if [ ! -e "$part/complete" ]; then
        rm -rf "$cache/$name"-*
        mkdir -p "$part"
        # Not `… || …`, in which bash would go on after a command that fails.
        ("build_$name" "$part") &
        wait "$!" || { status=$?; rm -rf "$part"; exit "$status"; }
        : >"$part/complete"
    fi
    flock -s "$part_lock"
}
