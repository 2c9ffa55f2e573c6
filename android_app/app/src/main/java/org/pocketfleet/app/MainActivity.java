package org.pocketfleet.app;

import android.Manifest;
import android.app.Activity;
import android.app.AlertDialog;
import android.content.Intent;
import android.content.pm.PackageManager;
import android.net.Uri;
import android.os.Build;
import android.os.Bundle;
import java.io.File;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.util.Arrays;
import java.util.List;
import org.pocketfleet.data.DataException;
import org.pocketfleet.enrolment.Invitation;
import org.pocketfleet.enrolment.InvitationException;

/** The one screen. Each part of it is a {@link Card}. */
public final class MainActivity extends Activity {
  static final int OPEN_INVITATION = 1;
  static final int OPEN_FILE = 2;
  static final int OPEN_FOLDER = 3;
  private static final int ASK_NOTIFICATIONS = 4;

  private Runnable watcher;
  private List<Card> cards;
  private DataCard data;

  @Override
  protected void onCreate(Bundle state) {
    super.onCreate(state);
    setContentView(R.layout.main);
    watcher = () -> runOnUiThread(this::show);
    data =
        new DataCard(
            this,
            () -> open(new Intent(Intent.ACTION_OPEN_DOCUMENT), OPEN_FILE),
            () ->
                startActivityForResult(new Intent(Intent.ACTION_OPEN_DOCUMENT_TREE), OPEN_FOLDER));
    cards =
        Arrays.asList(
            new StatusCard(this, this::toggle),
            new RoundsCard(this),
            new ServerCard(
                this, () -> open(new Intent(Intent.ACTION_OPEN_DOCUMENT), OPEN_INVITATION)),
            data,
            new DeviceCard(this),
            new PolicyCard(this, this::save));
    if (state == null) {
      view(getIntent());
    }
  }

  @Override
  protected void onNewIntent(Intent intent) {
    super.onNewIntent(intent);
    view(intent);
  }

  private void view(Intent intent) {
    if (Intent.ACTION_VIEW.equals(intent.getAction()) && intent.getData() != null) {
      invitation(intent.getData());
    }
  }

  private void open(Intent intent, int request) {
    startActivityForResult(intent.addCategory(Intent.CATEGORY_OPENABLE).setType("*/*"), request);
  }

  @Override
  protected void onStart() {
    super.onStart();
    Fleet.get().board().watch(watcher);
    show();
  }

  @Override
  protected void onStop() {
    Fleet.get().board().unwatch(watcher);
    save();
    super.onStop();
  }

  private void show() {
    Settings settings = SettingsStore.load(this);
    Status status = Fleet.get().board().status();
    for (Card card : cards) {
      card.show(settings, status);
    }
  }

  private Settings save() {
    Settings.Builder builder = SettingsStore.load(this).change();
    for (Card card : cards) {
      card.collect(builder);
    }
    Settings settings = builder.build();
    SettingsStore.save(this, settings);
    RoundJob.schedule(this, settings);
    return settings;
  }

  private void toggle() {
    if (Fleet.get().board().status().running()) {
      startService(new Intent(this, FleetService.class).setAction(FleetService.STOP));
      return;
    }
    Settings settings = save();
    String missing = StatusCard.missing(settings);
    if (!missing.isEmpty()) {
      say(missing);
      return;
    }
    try {
      Invitation.checkServer(settings.server);
    } catch (InvitationException error) {
      say(error.getMessage());
      return;
    }
    if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.TIRAMISU) {
      askForNotifications();
    }
    FleetService.start(this);
    show();
  }

  @NewerAndroid(Build.VERSION_CODES.TIRAMISU)
  private void askForNotifications() {
    // Without it the work goes on, but nobody sees that it does.
    if (checkSelfPermission(Manifest.permission.POST_NOTIFICATIONS)
        != PackageManager.PERMISSION_GRANTED) {
      requestPermissions(new String[] {Manifest.permission.POST_NOTIFICATIONS}, ASK_NOTIFICATIONS);
    }
  }

  @Override
  protected void onActivityResult(int request, int result, Intent answer) {
    super.onActivityResult(request, result, answer);
    Uri uri = result == RESULT_OK && answer != null ? answer.getData() : null;
    if (uri == null) {
      return;
    }
    if (request == OPEN_INVITATION) {
      invitation(uri);
    } else if (request == OPEN_FILE) {
      take(() -> new DataImport(this).file(uri));
    } else if (request == OPEN_FOLDER) {
      take(() -> new DataImport(this).folder(uri));
    }
  }

  private void invitation(Uri uri) {
    Invitation invitation;
    try (InputStream in = getContentResolver().openInputStream(uri)) {
      if (in == null) {
        throw new FileNotFoundException("the file is gone");
      }
      invitation = Invitation.read(in);
    } catch (InvitationException error) {
      say("Invitation not accepted: " + error.getMessage() + ".");
      return;
    } catch (IOException | SecurityException error) {
      say("The invitation cannot be read: " + error.getMessage());
      return;
    }
    ServerCard.ask(this, invitation, () -> accept(invitation));
  }

  private void accept(Invitation invitation) {
    Settings.Builder builder = SettingsStore.load(this).change();
    builder.server = invitation.server();
    builder.ca = invitation.ca() == null ? "" : invitation.ca();
    builder.trust = invitation.trust();
    builder.insecure = false;
    SettingsStore.save(this, builder.build());
    findViewById(R.id.server).clearFocus();
    show();
  }

  private interface Copying {
    File copy() throws DataException;
  }

  private void take(Copying copying) {
    data.say("Copying…");
    new Thread(
            () -> {
              String path = "";
              String problem = "";
              try {
                path = copying.copy().getPath();
              } catch (DataException error) {
                problem = error.getMessage();
              }
              String taken = path;
              String words = problem;
              runOnUiThread(() -> taken(taken, words));
            },
            "copy")
        .start();
  }

  private void taken(String path, String problem) {
    if (problem.isEmpty()) {
      Settings.Builder builder = SettingsStore.load(this).change();
      builder.data = path;
      SettingsStore.save(this, builder.build());
      show();
    } else {
      data.say("Not taken: " + problem);
    }
  }

  private void say(String words) {
    new AlertDialog.Builder(this)
        .setMessage(words)
        .setPositiveButton(android.R.string.ok, null)
        .show();
  }
}
