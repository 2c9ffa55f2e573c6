package org.pocketfleet.desktop;

import java.io.PrintStream;
import java.time.Instant;
import java.time.ZoneId;
import java.time.format.DateTimeFormatter;
import java.util.Locale;
import java.util.logging.Handler;
import java.util.logging.Level;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import org.pocketfleet.Events;

/** Log lines on standard error, in the form that the Python client's have. */
final class Log extends Handler {
  private static final DateTimeFormatter TIME =
      DateTimeFormatter.ofPattern("uuuu-MM-dd HH:mm:ss,SSS", Locale.ROOT)
          .withZone(ZoneId.systemDefault());

  private final PrintStream out;

  private Log(PrintStream out) {
    this.out = out;
  }

  /** Sends the client's lines to standard error. */
  static void start(boolean verbose) {
    Logger logger = Events.LOGGER;
    logger.setUseParentHandlers(false);
    for (Handler old : logger.getHandlers()) {
      logger.removeHandler(old);
    }
    Level level = verbose ? Level.FINE : Level.INFO;
    Handler handler = new Log(System.err);
    handler.setLevel(level);
    logger.setLevel(level);
    logger.addHandler(handler);
  }

  @Override
  public void publish(LogRecord record) {
    if (!isLoggable(record)) {
      return;
    }
    String line =
        TIME.format(Instant.ofEpochMilli(record.getMillis()))
            + " "
            + name(record.getLevel())
            + " "
            + record.getMessage();
    synchronized (out) {
      out.println(line);
      if (record.getThrown() != null) {
        record.getThrown().printStackTrace(out);
      }
    }
  }

  @Override
  public void flush() {
    out.flush();
  }

  @Override
  public void close() {
    flush();
  }

  private static String name(Level level) {
    if (level.intValue() >= Level.SEVERE.intValue()) {
      return "ERROR";
    }
    return level.intValue() < Level.INFO.intValue() ? "DEBUG" : level.getName();
  }
}
