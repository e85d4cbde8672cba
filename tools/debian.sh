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

# apt_in DIR apt-get|apt-cache ARG…: apt with lists and a cache of its own in DIR, and what `suites` chose.
apt_options=()
apt_in() {
    mkdir -p "$1/lists/partial" "$1/archives/partial"
    "$2" -qq -o Dir::State="$1" -o Dir::State::status=/var/lib/dpkg/status -o Dir::Cache="$1" \
        -o APT::Sandbox::User="$(id -un)" -o Acquire::Retries=3 -o Acquire::Languages=none \
        "${apt_options[@]}" "${@:3}"
}

# suites DIR ARCHITECTURE SUITE…: has apt_in look in these suites of Debian only, whatever the host's are.
suites() {
    local dir=$1 architecture=$2 keys=/usr/share/keyrings/debian-archive-keyring.gpg mirror
    shift 2
    [ -e "$keys" ] || skip "it needs the package debian-archive-keyring"
    # The mirror that the host uses.
    mirror=$(apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' |
        awk -v release="$(. /etc/os-release && echo "${VERSION_CODENAME:-}")" '$1 == release { print $2; exit }')
    [ -n "$mirror" ] || skip "apt has no mirror of Debian"
    mkdir -p "$dir"
    printf "deb [signed-by=$keys] $mirror %s main\n" "$@" >"$dir/sources.list"
    rm -rf "$dir/lists" "$dir"/*.bin
    apt_options=(-o Dir::Etc::sourcelist="$dir/sources.list" -o Dir::Etc::sourceparts=/dev/null
        -o APT::Architecture="$architecture" -o APT::Architectures="$architecture")
}

# packages DIR PACKAGE…: unpacks the packages that the host lacks, with all they depend on, into DIR/root.
# With `always=1` the named ones are unpacked even if the host has them, so that they have a known place.
packages() {
    local dir=$1 deb missing options=()
    shift
    [ -z "${always:-}" ] || options=(--reinstall)
    say "fetching the lists of Debian's packages"
    apt_in "$dir/apt" apt-get update || skip "apt-get update failed"
    apt_in "$dir/apt" apt-get --yes --no-install-recommends "${options[@]}" --print-uris install "$@" >"$dir/uris" ||
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
    (cd "$dir/debs" && apt_in "$dir/apt" apt-get download "$@") || skip "apt-get download failed"
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
