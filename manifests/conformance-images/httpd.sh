#!/bin/sh
exec /usr/sbin/apache2 -f /usr/local/apache2/conf/httpd.conf -D FOREGROUND "$@"
