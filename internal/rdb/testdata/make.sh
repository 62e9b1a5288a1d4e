#!/bin/sh
# Makes the dumps beside this script, each with the INFO keyspace that the
# server gave at the save. Needs Docker and the images named at the end; leaves
# nothing but the files.
set -eu
cd "$(dirname "$0")"

name=redisbak-rdb-fixture-$$
trap 'docker rm -fv "$name" >/dev/null 2>&1 || :' EXIT

# cli runs one command, or the commands of its input.
cli() {
	docker exec -i "$name" sh -c 'exec "$(command -v valkey-cli || command -v redis-cli)" "$@"' cli "$@"
}

# quietly shows the replies only if one of them is an error.
quietly() {
	replies=$("$@")
	case $replies in
	*ERR*) echo "$replies" >&2 && exit 1 ;;
	esac
}

# start IMAGE OPTION...: a server without a network.
start() {
	image=$1
	shift
	docker run -d --name "$name" --network none "$image" --save '' "$@" >/dev/null
	until [ "$(cli ping 2>/dev/null)" = PONG ]; do sleep 0.1; done
}

# finish FILE: waits until the keys with a short life are past it by a whole
# second of the server's clock, saves, and takes the dump away.
finish() {
	second=$(cli time | head -n 1)
	until [ "$(cli time | head -n 1)" -ge $((second + 2)) ]; do sleep 0.1; done
	cli info keyspace | tr -d '\r' >"$1.keyspace"
	quietly cli save
	docker cp -q "$name:/data/dump.rdb" "$1.rdb"
	chmod 644 "$1.rdb"
	docker rm -fv "$name" >/dev/null
	echo "$1: $(wc -c <"$1.rdb") bytes, $(grep -c '^db' "$1.keyspace") databases"
}

# seed: what every version knows, each type in a small and a large encoding.
seed() {
	long=$(printf '%0300d' 0)
	text=$(head -c 300 /dev/urandom | base64 | tr -d '\n')
	quietly cli <<-END
		debug set-active-expire 0
		config set hash-max-ziplist-entries 4
		config set zset-max-ziplist-entries 4
		config set set-max-intset-entries 4
		config set list-max-ziplist-size 4
		config set stream-node-max-entries 3
		set string:empty ""
		set string:short value
		set string:text $text
		set string:lzf $long
		set string:int8 -7
		set string:int16 1234
		set string:int32 -12345678
		set string:int64 1234567890123456789
		set 4242 integer-key
		set $long lzf-key
		set ttl:far value
		pexpireat ttl:far 7258118400000
		set ttl:lzf $long
		pexpireat ttl:lzf 7258118400123
		set ttl:expired:1 value px 1
		set ttl:expired:2 value px 1
		hset hash:small a 1 b two
		hset hash:large a 1 b two c $long d 4 e five f $text
		pexpireat hash:large 7258118400000
		rpush list:small a 1 -200 70000
		rpush list:large a b c d e f g h i $long $text 1 2 3 4 5
		sadd set:ints8 1 2 3
		sadd set:ints64 1 1234567890123
		sadd set:small a b
		sadd set:large a b c d e f $long $text 1 2
		zadd zset:small 1 a 2.5 b
		zadd zset:large 1 a 2.5 b -inf c +inf d 1e300 e 0 $long
		pfadd hll:sparse a b c
		setbit bits 700 1
		geoadd geo 13.361389 38.115556 Palermo 15.087269 37.502669 Catania
		xadd stream:plain 1-1 f v
		xadd stream:groups 1-1 f v g $long
		xadd stream:groups 1-2 f v
		xadd stream:groups 2-1 other $text
		xadd stream:groups 3-1 f v
		xadd stream:groups 4-1 f v
		xdel stream:groups 3-1
		xgroup create stream:groups idle 0
		xgroup create stream:groups busy 0
		xreadgroup group busy alice count 2 streams stream:groups >
		xreadgroup group busy bob count 1 streams stream:groups >
		xack stream:groups busy 1-2
		xgroup create stream:empty first $ mkstream
		xgroup create stream:empty second 0
		select 3
		set a 1
		set b 2
		pexpireat b 7258118400000
		set ttl:expired value px 1
		select 15
		rpush last x
	END
}

functions() {
	quietly cli function load "#!lua name=one
		redis.register_function('one', function() return 1 end)"
	quietly cli function load "#!lua name=two
		redis.register_function('two', function() return '$(printf '%0200d' 0)' end)"
}

# plain makes a list node that holds one element and is no listpack.
plain() {
	quietly cli <<-END
		debug quicklist-packed-threshold 100b
		rpush list:plain a $(printf '%0300d' 1) b
	END
}

field_ttl() {
	quietly cli <<-END
		hset hash:ttl:small a 1 b 2
		hpexpireat hash:ttl:small 7258118400000 fields 1 a
		hset hash:ttl:large a 1 b 2 c 3 d 4 e 5 f 6
		hpexpireat hash:ttl:large 7258118400000 fields 2 a c
		hpexpireat hash:ttl:large 7258118500000 fields 1 d
	END
}

start redisbak-test/redis:6.0 --maxmemory 100mb --maxmemory-policy allkeys-lfu
seed
finish redis-6.0

start redisbak-test/redis:7.0 --enable-debug-command yes --maxmemory 100mb --maxmemory-policy allkeys-lru
seed
functions
plain
finish redis-7.0

start redisbak-test/redis:7.0 --enable-debug-command yes --rdbchecksum no --rdbcompression no
seed
finish redis-7.0-no-checksum

start redisbak-test/redis:8.0 --enable-debug-command yes
seed
functions
plain
field_ttl
finish redis-8.0

start redisbak-test/redis:8.0 --enable-debug-command yes --cluster-enabled yes
quietly cli cluster addslotsrange 0 16383
until cli cluster info | grep -q cluster_state:ok; do sleep 0.1; done
quietly cli <<-END
	set a 1
	set b 2
	set c 3 ex 100000000
END
finish redis-8.0-cluster

start redisbak-test/redis:8.0
finish redis-8.0-empty

start redisbak-test/valkey:8.1 --enable-debug-command yes
seed
functions
plain
finish valkey-8.1
