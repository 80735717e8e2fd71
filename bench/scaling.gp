# gnuplot -e "csv='scaling.csv'; svg='scaling.svg'" scaling.gp: throughput and efficiency over cores, and where the step's time goes.
set datafile separator ","
set terminal svg size 1000,760 background "white"
set output svg
# a curve is a series and a number of threads, "weak,1"
curves = system("sed 1d '".csv."' | cut -d, -f1,3 | sort -u")
tags = system("sed 1d '".csv."' | cut -d, -f1 | sort -u")
part(c, n) = system("echo '".c."' | cut -d, -f".n)
rows(c) = "< grep '^".part(c, 1).",[0-9]*,".part(c, 2).",' '".csv."'"
name(c) = part(c, 1).", ".part(c, 2)." thread".(part(c, 2) eq "1" ? "" : "s")." a rank"
share(c) = column(c)/(column(13) + column(14) + column(15) + column(16) + column(17) + column(18))
set multiplot layout 2,2
set xlabel "cores"
set xrange [0:*]
set grid
set key left top
set ylabel "samples a second"
set yrange [0:*]
plot for [c in curves] rows(c) using 5:10 with linespoints title name(c)
set key left bottom
set ylabel "efficiency"
set yrange [0:1.2]
plot for [c in curves] rows(c) using 5:12 with linespoints title name(c), 1 with lines linetype 0 notitle
set style data histogram
set style histogram rowstacked
set style fill solid 0.8 border
set boxwidth 0.75
set xrange [*:*]
set yrange [0:1]
set xlabel "ranks x threads"
set ylabel "share of the step"
set key outside right top
do for [t in tags] {
    set title t
    plot for [c=13:18] "< grep '^".t.",' '".csv."'" using (share(c)):xtic(stringcolumn(2)."x".stringcolumn(3)) \
        title word("data forward backward communication optimizer other", c - 12)
}
unset multiplot
