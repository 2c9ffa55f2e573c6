package org.pocketfleet;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** What this process has used, as Linux and Android tell every process of itself. */
public final class ProcessUse {
  /** Seconds that the process's threads computed, together; NaN: not known. */
  public static final Stopwatch CPU = ProcessUse::cpuSeconds;

  /** What a kernel counts in, whatever it ticks at. */
  private static final double TICKS_PER_SECOND = 100;

  // Counted from the state, which follows the name of the program in parentheses.
  private static final int USER_TICKS = 11;
  private static final int SYSTEM_TICKS = 12;

  private static final Pattern PEAK = Pattern.compile("VmHWM:\\s*([0-9]{1,15}) kB");

  private ProcessUse() {}

  /** Most bytes of memory that the process ever held; -1: not known. */
  public static long peakMemoryBytes() {
    Matcher peak = PEAK.matcher(read("/proc/self/status"));
    return peak.find() ? 1024 * Long.parseLong(peak.group(1)) : -1;
  }

  private static double cpuSeconds() {
    String text = read("/proc/self/stat");
    String[] fields = text.substring(text.lastIndexOf(')') + 1).trim().split(" ", -1);
    if (fields.length <= SYSTEM_TICKS) {
      return Double.NaN;
    }
    return (Long.parseLong(fields[USER_TICKS]) + Long.parseLong(fields[SYSTEM_TICKS]))
        / TICKS_PER_SECOND;
  }

  private static String read(String file) {
    try {
      return new String(Files.readAllBytes(Paths.get(file)), StandardCharsets.ISO_8859_1);
    } catch (IOException notThere) {
      return "";
    }
  }
}
